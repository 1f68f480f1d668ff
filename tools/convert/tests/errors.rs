//! Every wrong input is one sentence that names the file and the place, exit code 2, and no output.

use safetensors::{Dtype, tensor::TensorView};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn models(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models").join(file)
}

fn cellstate(arguments: &[&std::ffi::OsStr]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cellstate")).args(arguments).output().unwrap()
}

struct Case {
    folder: tempfile::TempDir,
    model: PathBuf,
    map: Option<PathBuf>,
    data: PathBuf,
}

impl Case {
    fn watch() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            model: models("watch/watch.safetensors"),
            map: Some(models("watch/model.toml")),
            data: models("watch/calibration.npz"),
        }
    }

    fn digits() -> Self {
        Self {
            model: models("digits/digits.keras"),
            map: None,
            data: models("digits/calibration.npz"),
            ..Self::watch()
        }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    fn data(mut self, name: &str, bytes: &[u8]) -> Self {
        self.data = self.file(name, bytes);
        self
    }

    fn map(mut self, text: &str) -> Self {
        self.map = Some(self.file("model.toml", text.as_bytes()));
        self
    }

    fn model(mut self, name: &str, bytes: &[u8]) -> Self {
        self.model = self.file(name, bytes);
        self
    }

    /// The conversion fails with one sentence that holds all of `words`.
    fn fails(&self, words: &[&str]) {
        let out = self.folder.path().join("out.cell");
        let (o, c, m, r) = ("-o".as_ref(), "--calibrate".as_ref(), "--map".as_ref(), "--raw".as_ref());
        let mut arguments =
            vec!["convert".as_ref(), self.model.as_os_str(), c, self.data.as_os_str(), o, out.as_os_str(), r];
        if let Some(map) = &self.map {
            arguments.extend([m, map.as_os_str()]);
        }
        let output = cellstate(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.starts_with("error: ") && said.trim_end().lines().count() == 1, "{said}");
        for word in words {
            assert!(said.contains(word), "{said:?} does not name {word:?}");
        }
        assert!(!out.exists(), "an output was written");
        let files = std::fs::read_dir(self.folder.path()).unwrap().count();
        assert!(files <= 2, "something was left behind");
    }
}

fn npy(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let mut out = b"\x93NUMPY\x01\x00".to_vec();
    out.extend((header.len() as u16).to_le_bytes());
    out.extend(header.as_bytes());
    out.extend(data);
    out
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        zip.start_file(format!("{name}.npy"), zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

#[test]
fn wrong_data() {
    let mut missing = Case::watch();
    missing.data = PathBuf::from("nowhere.npz");
    missing.fails(&["nowhere.npz", "check the path"]);
    let case = Case::watch;
    case().data("data.txt", b"1 2 3").fails(&["data.txt", ".npy, .npz or .csv"]);
    case().data("d.npy", b"rubbish").fails(&["d.npy", "numpy.save"]);
    case().data("d.npy", &npy("<f4", "(2, 6)", &floats(&[0.0; 11]))).fails(&["d.npy", "[2, 6]"]);
    case().data("d.npy", &npy("<f4", "(99999999999, 99999999999)", &[])).fails(&["d.npy"]);
    case().data("d.npy", &npy("<c8", "(1, 6)", &[0; 48])).fails(&["<c8", "float32"]);
    case().data("d.npy", &npy("<f4", "(0, 6)", &[])).fails(&["d.npy", "at least one sample"]);
    case().data("d.npy", &npy("<f4", "(1, 5)", &floats(&[0.0; 5]))).fails(&["5 features", "\"lstm\" takes 6"]);
    let mut nan = [0.0; 12];
    nan[8] = f32::NAN;
    case().data("d.npy", &npy("<f4", "(2, 6)", &floats(&nan))).fails(&["sequence 0, step 1, feature 2", "NaN"]);
    let x = || ("x", npy("<f4", "(2, 6)", &floats(&[0.0; 12])));
    case().data("d.npz", b"PK").fails(&["d.npz", "damaged"]);
    case().data("d.npz", &npz(&[("z", vec![])])).fails(&["no array x", "z.npy"]);
    case().data("d.npz", &npz(&[x(), ("lengths", npy("<i4", "(1,)", &3i32.to_le_bytes()))])).fails(&["lengths"]);
    case().data("d.npz", &npz(&[x(), ("lengths", npy("<i4", "(1,)", &(-2i32).to_le_bytes()))])).fails(&["lengths"]);
    case().data("d.npz", &npz(&[x(), ("y", npy("|i1", "(3,)", &[0; 3]))])).fails(&["y", "3 labels"]);
    case().data("d.csv", b"").fails(&["d.csv", "no samples"]);
    case().data("d.csv", b"1,2,3,4,5,6\n1,2,3,4,5,6\n").fails(&["column names"]);
    case().data("d.csv", b"a,b,c,d,e,f\n1,2,3,4,5,6\n1,2,3\n").fails(&["d.csv", "line"]);
    case().data("d.csv", b"a,b,c,d,e,f\n1,2,x,4,5,6\n").fails(&["line 2, column \"c\"", "\"x\""]);
    case().data("d.csv", b"label,a,b,c,d,e,f\n1.5,1,2,3,4,5,6\n").fails(&["label", "whole number"]);
    case().data("d.csv", b"a,b,c,d,e,f\n1,2,inf,4,5,6\n").fails(&["step 0, feature 2", "inf"]);
}

#[test]
fn wrong_maps() {
    let layers = "[[layer]]\nname = \"lstm\"\n[[layer]]\nname = \"fc\"\n";
    let map = |text: &str| Case::watch().map(text);
    map("labels = [").fails(&["model.toml", "line 1"]);
    map("colour = 3").fails(&["model.toml", "colour"]);
    map("[[layer]]\nname = \"lstm\"\n").fails(&["layer \"fc\"", "[[layer]]"]);
    map(&format!("{layers}[[layer]]\nname = \"head\"\n")).fails(&["layer \"head\"", "\"fc\", \"lstm\""]);
    map(&format!("{layers}activation = \"mish\"\n")).fails(&["layer \"fc\"", "mish", "softmax"]);
    map("[[layer]]\nname = \"fc\"\n[[layer]]\nname = \"lstm\"\n").fails(&["layer \"lstm\"", "takes 6", "yields 7"]);
    map(&format!("labels = [\"a\"]\n{layers}")).fails(&["labels", "1 entries", "7"]);
    let escape = ["a\\u001b[2J"; 7].join("\", \"");
    map(&format!("labels = [\"{escape}\"]\n{layers}")).fails(&["model.toml", "control character", "one line"]);
    map(&format!("{layers}[input]\nscale = [1.0]\n")).fails(&["input.scale"]);
    map(&format!("{layers}[input]\nscale = [1,1,1,0,1,1]\n")).fails(&["input.scale", "zero"]);
    map(&format!("{layers}[input]\noffset = [1,1,1,nan,1,1]\n")).fails(&["input.offset"]);
}

fn tensors(list: &[(&str, &[usize], f32)]) -> Vec<u8> {
    let data: Vec<Vec<u8>> = list.iter().map(|(_, s, v)| floats(&vec![*v; s.iter().product()])).collect();
    let views = list.iter().zip(&data).map(|((n, s, _), d)| (*n, TensorView::new(Dtype::F32, s.to_vec(), d).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn wrong_pytorch_models() {
    let ih: (&str, &[usize], f32) = ("lstm.weight_ih_l0", &[8, 6], 0.1);
    let hh: (&str, &[usize], f32) = ("lstm.weight_hh_l0", &[8, 2], 0.1);
    let case = |list: &[(&str, &[usize], f32)]| {
        let mut case = Case::watch().model("m.safetensors", &tensors(list));
        case.map = None;
        case
    };
    case(&[ih]).fails(&["m.safetensors", "layer \"lstm\"", "weight_hh_l0"]);
    case(&[ih, ("lstm.weight_hh_l0", &[9, 2], 0.1)]).fails(&["layer \"lstm\"", "[9, 2]"]);
    case(&[ih, hh, ("lstm.weight_ih_l0_reverse", &[8, 6], 0.1)]).fails(&["layer \"lstm\"", "weight_hh_l0_reverse"]);
    case(&[("lstm.weight_ih_l0", &[8, 6], f32::NAN), hh]).fails(&["layer \"lstm\"", "NaN"]);
    let two = [ih, hh, ("a.weight", &[3, 2][..], 0.1), ("b.weight", &[3, 3][..], 0.1)];
    case(&two).fails(&["\"a\", \"b\", \"lstm\"", "[[layer]] name = \"a\""]);
    case(&[ih, hh, ("a.weight", &[3, 5], 0.1)]).fails(&["layer \"a\"", "takes 5", "yields 2"]);
    let whole = std::fs::read(models("watch/watch.safetensors")).unwrap();
    Case::watch().model("m.safetensors", &whole[..whole.len() / 2]).fails(&["m.safetensors", "not a whole"]);
    Case::watch().model("m.pb", &whole).fails(&["m.pb", ".keras"]);
}

/// The digits model with its configuration rewritten.
fn keras(from: &str, to: &str) -> Vec<u8> {
    let mut old = zip::ZipArchive::new(std::fs::File::open(models("digits/digits.keras")).unwrap()).unwrap();
    let mut new = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for name in ["config.json", "model.weights.h5"] {
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut old.by_name(name).unwrap(), &mut bytes).unwrap();
        if name == "config.json" {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{from}");
            bytes = text.replace(from, to).into_bytes();
        }
        new.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        new.write_all(&bytes).unwrap();
    }
    new.finish().unwrap().into_inner()
}

#[test]
fn wrong_keras_models() {
    let case = |from: &str, to: &str| Case::digits().model("m.keras", &keras(from, to));
    case("\"class_name\": \"LSTM\"", "\"class_name\": \"ConvLSTM1D\"").fails(&[
        "m.keras",
        "layer \"lstm\"",
        "ConvLSTM1D",
    ]);
    case("\"recurrent_activation\": \"sigmoid\"", "\"recurrent_activation\": \"relu\"")
        .fails(&["recurrent_activation"]);
    case("\"units\": 128", "\"units\": 64").fails(&["layer \"lstm\"", "shape"]);
    case("\"activation\": \"softmax\"", "\"activation\": \"elu\"").fails(&["layer \"dense\"", "elu"]);
    case("\"class_name\": \"Sequential\"", "\"class_name\": \"Custom\"").fails(&["Custom"]);
    case("\"layers\"", "\"strata\"").fails(&["config.json"]);
    let whole = std::fs::read(models("digits/digits.keras")).unwrap();
    Case::digits().model("m.keras", &whole[..whole.len() / 2]).fails(&["m.keras", "damaged"]);
}

#[test]
fn the_other_commands_answer_too() {
    let folder = tempfile::tempdir().unwrap();
    let rubbish = folder.path().join("rubbish.cell");
    std::fs::write(&rubbish, [7; 100]).unwrap();
    let fails = |arguments: &[&Path], word: &str| {
        let arguments: Vec<&std::ffi::OsStr> = arguments.iter().map(|a| a.as_os_str()).collect();
        let output = cellstate(&arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(word), "{said}");
    };
    let blob = models("watch/watch.cell");
    let data = models("digits/test.npz");
    fails(&["inspect".as_ref(), &rubbish], "not a cellstate blob");
    fails(&["inspect".as_ref(), "nowhere.cell".as_ref()], "nowhere.cell");
    fails(&["run".as_ref(), &blob, "--input".as_ref(), &data], "13 features");
    let digits = models("digits/digits.keras");
    fails(&["eval".as_ref(), &blob, "--reference".as_ref(), &digits, "--data".as_ref(), &data], "different layers");
    let watch = models("watch/watch.safetensors");
    let out = folder.path().join("missing/out.cell");
    let calibration = models("watch/calibration.npz");
    let to = ["convert".as_ref(), &*watch, "--calibrate".as_ref(), &*calibration, "-o".as_ref(), &*out];
    fails(&to, "layer \"lstm\": a row's weights");
    let map = models("watch/model.toml");
    fails(&[&to[..], &["--raw".as_ref(), "--map".as_ref(), &*map]].concat(), "folder that exists");
}

#[test]
fn json_and_lines_have_the_documented_keys() {
    let arguments = |list: &[&Path]| {
        let output = cellstate(&list.iter().map(|a| a.as_os_str()).collect::<Vec<_>>());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    let (blob, map) = (models("watch/watch.cell"), models("watch/model.toml"));
    let (watch, later) = (models("watch/watch.safetensors"), models("watch/calibration.npz"));
    let json = "--json".as_ref();
    let eval =
        ["eval".as_ref(), &*blob, "--reference".as_ref(), &*watch, "--map".as_ref(), &*map, "--data".as_ref(), &*later];
    let report = arguments(&[&eval[..], &["--raw".as_ref(), json]].concat());
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for key in ["accuracy_float", "accuracy_int", "snr_db", "rms_error", "max_abs_error", "saturations", "steps"] {
        assert!(report[key].is_number(), "{key}: {report}");
    }
    let inspect: serde_json::Value = serde_json::from_str(&arguments(&["inspect".as_ref(), &blob, json])).unwrap();
    assert_eq!(inspect["layers"].as_array().unwrap().len(), 2);
    assert_eq!(inspect["flash_bytes"], std::fs::metadata(&blob).unwrap().len());
    let run = ["run".as_ref(), &*blob, "--input".as_ref(), &*later, "--raw".as_ref()];
    let csv = arguments(&run);
    assert_eq!(csv.lines().count(), 99);
    assert!(csv.starts_with("sequence,step,decision,PEN,"));
    let lines =
        arguments(&[&run[..], &["--format".as_ref(), "jsonl".as_ref(), "--per".as_ref(), "step".as_ref()]].concat());
    assert_eq!(lines.lines().count(), 98 * 120);
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let sum: f64 = first["scores"].as_object().unwrap().values().filter_map(serde_json::Value::as_f64).sum();
    assert!((sum - 1.0).abs() < 1e-4, "{sum}");
}
