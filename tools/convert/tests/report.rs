//! The page of `--report`: well-formed, whole, self-contained, safe from names in a model, for every kind of model.

use cellstate::Model;
use cellstate::model::header::Weights;
use cellstate_convert::cost::{self, steps};
use cellstate_convert::data::{self, Sequence, Sequences};
use cellstate_convert::drift::{LEAST_STEPS, drift};
use cellstate_convert::eval::{Score, Units, compare};
use cellstate_convert::report::{Subject, page};
use cellstate_convert::{convert, import, synthetic, trace};
use cellstate_reference::{Activation, Dense, Gru, Layer, Matrix, Network};
use std::path::{Path, PathBuf};

const SECTIONS: [&str; 8] =
    ["accuracy", "confusion", "traces", "drift", "histograms", "cost", "structure", "provenance"];

fn models(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

/// Converts and reports.
fn report(network: &Network, data: &Sequences, units: Units) -> String {
    let blob = convert(network, data, units, Weights::W8, "test", 0, || ()).unwrap().blob;
    let words: Vec<u32> = blob.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let report = compare(&model, network, data, units, Score::Sequence, || ()).unwrap();
    let drift = drift(&model, network, data, units, LEAST_STEPS).unwrap();
    assert!(drift.steps >= LEAST_STEPS && drift.passes.is_multiple_of(2));
    let cost = cost::cost(&model, blob.len());
    assert_eq!(cost.speeds.len(), 9);
    let subject = Subject {
        model: &model,
        network,
        cost: &cost,
        report: &report,
        drift: &drift,
        on: "made up",
        score: Score::Sequence,
    };
    page(&subject)
}

/// Well-formed, with all sections, and with nothing that would be fetched or run.
fn check(page: &str) {
    let xml = page.strip_prefix("<!DOCTYPE html>").expect("a doctype");
    let document = roxmltree::Document::parse(xml).unwrap_or_else(|e| panic!("{e}\n{page}"));
    let ids: Vec<_> = document.descendants().filter_map(|n| n.attribute("id")).collect();
    assert_eq!(ids, SECTIONS);
    let elements = || document.descendants().filter(roxmltree::Node::is_element);
    for element in elements() {
        let name = element.tag_name().name();
        assert!(!["script", "link", "img", "iframe", "object", "use", "image"].contains(&name), "{name}");
        for attribute in element.attributes() {
            assert!(!["src", "href", "srcset"].contains(&attribute.name()) && !attribute.name().starts_with("on"));
        }
        if name == "polyline" {
            let points = element.attribute("points").unwrap();
            let numbers = points.split([' ', ',']).filter(|p| !p.is_empty());
            numbers.for_each(|n| assert!(n.parse::<f64>().is_ok_and(f64::is_finite), "{n}"));
        }
    }
    assert!(!page.contains("url(") && !page.contains("@import"));
    assert!(elements().any(|e| e.attribute("name") == Some("viewport")));
    assert!(page.contains("prefers-color-scheme: dark"));
    assert!(elements().any(|e| e.tag_name().name() == "svg"));
}

fn walk(features: usize) -> Sequences {
    Sequences { features, sequences: vec![Sequence::unlabelled(features, synthetic::walk(features))] }
}

#[test]
fn the_page_of_a_trained_model_is_whole() {
    let network = import::load(
        &models("watch/watch.safetensors"),
        import::Options { map: Some(&models("watch/model.toml")), ..Default::default() },
    )
    .unwrap();
    let data = data::load(&models("watch/later.npz")).unwrap();
    let page = report(&network, &data, Units::Counts);
    check(&page);
    for text in ["float 9", "ROW", "lstm", "Cortex-M7", "micro:bit v2", "estimates", "Q0.15", "made up"] {
        assert!(page.contains(text), "{text}");
    }
    // Two matrices and the header of columns in each.
    assert_eq!(page.matches("class=\"confusion\"").count(), 2);
}

#[test]
fn names_cannot_break_the_page() {
    let mut network = synthetic::lstm(2, 3);
    let evil = "</style><script>alert(1)</script>&\"'\u{1}";
    evil.clone_into(&mut network.name);
    evil.clone_into(&mut network.nodes[0].name);
    network.heads[0].labels = vec![evil.to_owned(), "a < b".to_owned(), "c & d".to_owned()];
    network.input.names = vec!["<x>".to_owned(), "&y;".to_owned()];
    let page = report(&network, &walk(2), Units::Model);
    check(&page);
    assert!(page.contains("a &lt; b") && page.contains("c &amp; d") && page.contains("&lt;x&gt;, &amp;y;"));
}

fn matrix(rows: usize, cols: usize) -> Matrix {
    Matrix::from_fn(rows, cols, |r, c| (((r * 7 + c * 13) % 11) as f64 - 5.0) / 12.0)
}

#[test]
fn models_of_other_layers_have_a_page_too() {
    let gru = Gru::from_gate_major([0, 1, 2], &matrix(12, 3), &matrix(12, 4), &[0.1; 12], &[0.0; 12], true);
    let dense = Dense { w: matrix(1, 4), b: vec![0.2], activation: Activation::Sigmoid };
    let layers = vec![("gru".to_owned(), Layer::Gru(gru)), ("dense".to_owned(), Layer::Dense(dense))];
    let streaming = Network::chain("gru", 3, layers);
    let page = report(&streaming, &walk(3), Units::Model);
    check(&page);
    assert!(!page.contains("a guess"));

    let mut windowed = streaming;
    windowed.window = Some(8);
    windowed.nodes[0].backward = true;
    windowed.nodes[0].last = true;
    let page = report(&windowed, &walk(3), Units::Model);
    check(&page);
    assert!(page.contains("windows of 8 samples") && page.contains("backward"));

    let dense = Dense { w: matrix(2, 3), b: vec![0.0; 2], activation: Activation::Softmax };
    check(&report(
        &Network::chain("dense", 3, vec![("d".to_owned(), Layer::Dense(dense.clone()))]),
        &walk(3),
        Units::Model,
    ));

    // Two streams, which are one box.
    let mut two = Network::chain("two", 3, vec![("a".to_owned(), Layer::Dense(dense.clone()))]);
    two.nodes[0].from = vec![cellstate_reference::Source::Stream(1)];
    (two.streams, two.input) = (vec![2, 3], cellstate_reference::InputMap::identity(5));
    let samples = synthetic::walk(5);
    let streams = (0..samples.len() / 5).map(|t| t % 2).collect();
    let data = Sequences { features: 5, sequences: vec![Sequence::interleaved(5, samples, streams)] };
    let page = report(&two, &data, Units::Model);
    check(&page);
    assert!(page.contains("input, 2 and 3 features"));

    let norm = Layer::LayerNorm { scale: vec![1.0; 3], offset: vec![0.0; 3], epsilon: 1e-3, rms: false };
    let layers = vec![("n".to_owned(), norm), ("d".to_owned(), Layer::Dense(dense))];
    let page = report(&Network::chain("norm", 3, layers), &walk(3), Units::Model);
    check(&page);
    assert!(page.contains("a guess"));
}

#[test]
fn the_demo_s_count_is_met() {
    let blob = std::fs::read(models("watch/watch.cell")).unwrap();
    let words: Vec<u32> = blob.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    // README.md, of `cargo xtask demo`: an LSTM layer and a dense one behind it.
    let error = steps::instructions(&model, "cortex-m4").unwrap() / 9976.0 - 1.0;
    println!("error {:.2} %", 100.0 * error);
    assert!(error.abs() < steps::OTHERS_BOUND, "{error}");
}

/// What a browser says of a page in a frame of `width` pixels: the first thing that is wrong, or `fine`.
///
/// The frame has the page by `srcdoc`, so that this script may look into it.
fn browse(browser: &str, page: &str, width: u32) -> String {
    let script = "
        const d = document.querySelector('iframe').contentDocument;
        const wide = d.documentElement.scrollWidth > d.documentElement.clientWidth;
        const out = [...d.querySelectorAll('svg')].flatMap(svg => {
            const [w, h] = [svg.viewBox.baseVal.width, svg.viewBox.baseVal.height];
            const beyond = b => b.x < 0 || b.y < 0 || b.x + b.width > w || b.y + b.height > h;
            return [...svg.querySelectorAll('text, polyline, path, rect')].filter(e => beyond(e.getBBox()));
        });
        const say = wide ? 'the page scrolls sideways' : out.length ? 'cut off: ' + out[0].outerHTML.slice(0, 200)
            : d.querySelectorAll('section').length >= 3 && d.querySelectorAll('svg').length ? 'fine' : 'parts are missing';
        document.body.textContent = 'verdict: ' + say;";
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frame.html");
    let page = cellstate_convert::report::html::escape(page);
    let frame = format!("<iframe width=\"{width}\" height=\"800\" srcdoc=\"{page}\"></iframe>");
    std::fs::write(&file, format!("<!DOCTYPE html><body>{frame}<script>onload = () => {{{script}}}</script></body>"))
        .unwrap();
    let output = std::process::Command::new(browser)
        .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().display()))
        .arg(format!("file://{}", file.display()))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let verdict = dom.split("verdict: ").nth(1).and_then(|v| v.split("</body>").next());
    verdict.unwrap_or(&dom).trim().to_owned()
}

/// Where there is a Chromium; elsewhere this test says that it did nothing, and in CI that is a failure.
#[test]
fn a_browser_shows_the_page_whole_on_a_phone() {
    let runs = |b: &&str| std::process::Command::new(b).arg("--version").output().is_ok_and(|o| o.status.success());
    let Some(browser) = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(runs) else {
        assert!(std::env::var_os("CI").is_none(), "no Chromium: install the package `chromium`");
        println!("\n*** SKIPPED: no Chromium to look at the report with ***\n");
        return;
    };
    let network = import::load(
        &models("watch/watch.safetensors"),
        import::Options { map: Some(&models("watch/model.toml")), ..Default::default() },
    )
    .unwrap();
    let data = data::load(&models("watch/later.npz")).unwrap();
    let page = report(&network, &data, Units::Counts);
    let blob = std::fs::read(models("watch/watch.cell")).unwrap();
    let words: Vec<u32> = blob.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let trace = trace::trace(&model, &data.sequences[0], data.features, Units::Counts, 120).unwrap();
    let trace = cellstate_convert::report::traced::traced(&model, &trace, "later.npz");
    for width in [360, 390, 1200] {
        assert_eq!(browse(browser, &page, width), "fine", "{width} pixels");
        assert_eq!(browse(browser, &trace, width), "fine", "the trace on {width} pixels");
    }
    // It would see what is wrong.
    let wide = page.replacen("<main>", "<main><div style=\"width: 2000px\">x</div>", 1);
    assert_eq!(browse(browser, &wide, 390), "the page scrolls sideways");
    let cut = page.replacen("</svg>", "<text x=\"350\" y=\"20\">too far out</text></svg>", 1);
    assert!(browse(browser, &cut, 390).starts_with("cut off: "));
}
