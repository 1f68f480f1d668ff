//! Layouts of model files beyond the two trained models, and what is refused rather than read wrongly.

use cellstate_convert::import;
use cellstate_reference::{Activation, Layer, Lstm, Network};
use safetensors::{Dtype, tensor::TensorView};
use std::fmt::Write as _;
use std::io::Write as _;

fn imported(name: &str, model: &[u8], map: Option<&str>) -> Result<Network, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, model).unwrap();
    let map = map.map(|text| {
        let map = folder.path().join("model.toml");
        std::fs::write(&map, text).unwrap();
        map
    });
    import::load(&path, import::Options { map: map.as_deref(), ..Default::default() }).map_err(|e| e.to_string())
}

/// The error is one line that names each of `words`.
fn refused(result: Result<Network, String>, words: &[&str]) {
    let said = result.unwrap_err();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

fn lstm(layer: &Layer) -> &Lstm {
    let Layer::Lstm(l) = layer else { panic!("{layer:?}") };
    l
}

// PyTorch.

type Tensor<'a> = (&'a str, &'a [usize]);

/// The value of element `k` of a tensor of the hand-made models: exact in every float type.
fn value(k: usize) -> f32 {
    (k % 64) as f32 / 32.0 - 0.75
}

fn tensors_as(list: &[Tensor], dtype: Dtype, bytes: impl Fn(f32) -> Vec<u8>) -> Vec<u8> {
    let data: Vec<Vec<u8>> =
        list.iter().map(|(_, s)| (0..s.iter().product()).flat_map(|k| bytes(value(k))).collect()).collect();
    let views = list.iter().zip(&data).map(|((n, s), d)| (*n, TensorView::new(dtype, s.to_vec(), d).unwrap()));
    safetensors::serialize(views, None).unwrap()
}

fn torch(list: &[Tensor], map: Option<&str>) -> Result<Network, String> {
    let bytes = tensors_as(list, Dtype::F32, |v| v.to_le_bytes().into());
    imported("m.safetensors", &bytes, map)
}

const IH: Tensor = ("rnn.weight_ih_l0", &[8, 3]);
const HH: Tensor = ("rnn.weight_hh_l0", &[8, 2]);
const IH1: Tensor = ("rnn.weight_ih_l1", &[8, 2]);
const HH1: Tensor = ("rnn.weight_hh_l1", &[8, 2]);
const FC: Tensor = ("fc.weight", &[4, 2]);

#[test]
fn stacked_layers_missing_biases_and_gate_order() {
    let biases: [Tensor; 2] = [("rnn.bias_ih_l0", &[8]), ("rnn.bias_hh_l0", &[8])];
    let network = torch(&[IH, HH, IH1, HH1, FC, biases[0], biases[1]], None).unwrap();
    assert_eq!(network.nodes.len(), 3);
    let first = lstm(&network.nodes[0].layer);
    // Row 4 u + gate comes from row gate * 2 + u: unit 1's gate g is row 5.
    let row: Vec<f64> = (15..18).map(|k| value(k).into()).collect();
    assert_eq!(first.w.row(6), row);
    assert_eq!(first.b[6..7], [2.0 * f64::from(value(5))]);
    assert_eq!(lstm(&network.nodes[1].layer).b, [0.0; 8]);
    let Layer::Dense(d) = &network.nodes[2].layer else { panic!() };
    assert_eq!((d.activation, &d.b[..]), (Activation::Linear, &[0.0; 4][..]));
}

#[test]
fn every_float_type_holds_the_same_values() {
    let list = [IH, HH, FC];
    let expected = torch(&list, None).unwrap();
    let f16 = |v: f32| {
        let bits = v.to_bits();
        // Normal values only, and zero: all that `value` yields.
        let exponent = (bits >> 23 & 0xff) as i32 - 112;
        let half = if v == 0.0 { 0 } else { (exponent as u32) << 10 | bits >> 13 & 0x3ff };
        let half = (bits >> 16 & 0x8000) | half;
        (half as u16).to_le_bytes().to_vec()
    };
    let files = [
        tensors_as(&list, Dtype::F64, |v| f64::from(v).to_le_bytes().into()),
        tensors_as(&list, Dtype::BF16, |v| v.to_le_bytes()[2..].into()),
        tensors_as(&list, Dtype::F16, f16),
    ];
    for file in files {
        assert_eq!(imported("m.safetensors", &file, None).unwrap(), expected);
    }
    let integers = tensors_as(&list, Dtype::I8, |_| vec![1]);
    refused(imported("m.safetensors", &integers, None), &["layer", "I8", "float32"]);
}

/// The extremes of the 16-bit float: the smallest subnormal, the largest subnormal, the largest finite value.
#[test]
fn sixteen_bit_floats_at_their_extremes() {
    let bits: Vec<u8> = [0x0001u16, 0x83ff, 0x7bff, 0x3c00].iter().flat_map(|b| b.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F16, vec![2, 2], &bits).unwrap();
    let file = safetensors::serialize([("fc.weight", view)], None).unwrap();
    let network = imported("m.safetensors", &file, None).unwrap();
    let Layer::Dense(d) = &network.nodes[0].layer else { panic!() };
    let tiny = 2f64.powi(-24);
    assert_eq!(d.w.data, [tiny, -1023.0 * tiny, 65504.0, 1.0]);
    let bits = [0x00, 0x7c];
    let view = TensorView::new(Dtype::F16, vec![1, 1], &bits).unwrap();
    let file = safetensors::serialize([("fc.weight", view)], None).unwrap();
    refused(imported("m.safetensors", &file, None), &["NaN or infinite"]);
}

#[test]
fn no_tensor_is_left_out_silently() {
    let gap: [Tensor; 2] = [("rnn.weight_ih_l2", &[8, 2]), ("rnn.weight_hh_l2", &[8, 2])];
    refused(torch(&[IH, HH, gap[0], gap[1]], None), &["layer \"rnn\"", "l2"]);
    refused(torch(&[IH, HH, ("rnn.bias_ih_l1", &[8])], None), &["layer \"rnn\"", "bias_ih_l1"]);
    refused(torch(&[IH, HH, FC, ("fc.running_mean", &[4])], None), &["layer \"fc\"", "running_mean"]);
}

#[test]
fn other_modules_are_named_as_what_they_are() {
    refused(torch(&[("rnn.weight_ih_l0", &[6, 3]), ("rnn.weight_hh_l0", &[5, 2])], None), &["layer \"rnn\"", "GRU"]);
    refused(torch(&[IH, HH, ("rnn.weight_hr_l0", &[3, 2])], None), &["layer \"rnn\"", "weight_hh_l0", "[8, 3]"]);
    // A LayerNorm's weight has one dimension; as a column it would fit behind one hidden unit.
    refused(torch(&[IH, HH, ("norm.weight", &[2]), ("norm.bias", &[2])], None), &["layer \"norm\"", "[2]"]);
    refused(torch(&[IH, HH, FC, ("fc.bias", &[2, 2])], None), &["layer \"fc\"", "[2, 2]"]);
}

#[test]
fn absurd_shapes_of_no_elements() {
    let wide = 1 << 62;
    refused(torch(&[("rnn.weight_ih_l0", &[0, 3]), ("rnn.weight_hh_l0", &[0, wide])], None), &["layer \"rnn\""]);
    refused(torch(&[("fc.weight", &[0, wide])], None), &["layer \"fc\""]);
    // No allocation for biases that the file does not have.
    refused(torch(&[("fc.weight", &[wide, 0])], None), &["layer \"fc\""]);
}

#[test]
fn the_line_of_a_map_error_is_the_line_in_the_file() {
    let map = |text| torch(&[IH, HH], Some(text));
    refused(map("\n\ncolour = 3\n"), &["model.toml", "line 3"]);
    refused(map("labels = []\n\n  colour = 3\n"), &["line 3"]);
    refused(map("name = \"ü\" \"ü\"\n"), &["line 1"]);
}

// Keras.

/// A `.keras` file of layers (class, name, more configuration) and weights (path, shape).
fn keras_as(model: &str, outputs: &str, layers: &[(&str, &str, &str)], weights: hdf5_pure::FinishedGroup) -> Vec<u8> {
    let mut list = Vec::new();
    for (class, name, more) in layers {
        let defaults = match *class {
            "LSTM" => r#""activation":"tanh","recurrent_activation":"sigmoid","units":2,"#,
            "Dense" => r#""activation":"linear","units":2,"#,
            _ => "",
        };
        // Of two equal keys the last one counts.
        let (config, node) = more.split_once('|').unwrap_or((more, ""));
        let mut fields = serde_json::Map::new();
        let text = format!("{{{defaults}{config}\"name\":\"{name}\"}}");
        for (k, v) in serde_json::from_str::<serde_json::Map<_, _>>(&text).unwrap() {
            fields.insert(k, v);
        }
        let mut entry = String::new();
        let fields = serde_json::Value::Object(fields);
        write!(entry, r#"{{"class_name":"{class}","config":{fields},"inbound_nodes":[{node}]}}"#).unwrap();
        list.push(entry);
    }
    let config =
        format!(r#"{{"class_name":"{model}","config":{{"name":"m",{outputs}"layers":[{}]}}}}"#, list.join(","));
    let mut h5 = hdf5_pure::FileBuilder::new();
    h5.add_group(weights);
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in [("config.json", config.into_bytes()), ("model.weights.h5", h5.finish().unwrap())] {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(&bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// LSTMs of 3 inputs and then, without biases, 2, and of 2 units, in `lstm` and `lstm_1`; dense layers of 2 to 2 in `dense` and `dense_1`.
fn weights() -> hdf5_pure::FinishedGroup {
    let mut h5 = hdf5_pure::FileBuilder::new();
    let mut root = h5.create_group("layers");
    for (name, inputs) in [("lstm", 3u64), ("lstm_1", 2)] {
        let mut layer = root.create_group(name);
        let mut cell = layer.create_group("cell");
        let mut vars = cell.create_group("vars");
        let shapes = [vec![inputs, 8], vec![2, 8], vec![8]];
        for (k, shape) in shapes[..if inputs == 3 { 3 } else { 2 }].iter().enumerate() {
            dataset(&mut vars, &k.to_string(), shape);
        }
        cell.add_group(vars.finish());
        layer.add_group(cell.finish());
        root.add_group(layer.finish());
    }
    for name in ["dense", "dense_1"] {
        let mut layer = root.create_group(name);
        let mut vars = layer.create_group("vars");
        dataset(&mut vars, "0", &[2, 2]);
        dataset(&mut vars, "1", &[2]);
        layer.add_group(vars.finish());
        root.add_group(layer.finish());
    }
    root.finish()
}

fn dataset(group: &mut hdf5_pure::GroupBuilder, name: &str, shape: &[u64]) {
    let count = shape.iter().product::<u64>() as usize;
    let data: Vec<f32> = (0..count).map(value).collect();
    group.create_dataset(name).with_f32_data(&data).with_shape(shape);
}

fn keras(layers: &[(&str, &str, &str)]) -> Result<Network, String> {
    let file = keras_as("Sequential", "", layers, weights());
    imported("m.keras", &file, None)
}

const INPUT: (&str, &str, &str) = ("InputLayer", "in", r#""batch_shape":[null,null,3],"#);
const SEQUENCES: &str = r#""return_sequences":true,"#;

#[test]
fn layers_are_counted_by_class_and_not_by_name() {
    let network = keras(&[
        INPUT,
        ("LSTM", "zeta", SEQUENCES),
        ("Dropout", "drop", ""),
        ("LSTM", "alpha", r#""use_bias":false,"#),
        ("Dense", "head", r#""activation":"relu","#),
        ("Dense", "top", ""),
        ("Activation", "act", r#""activation":"softmax","#),
    ])
    .unwrap();
    let names: Vec<&str> = network.nodes.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["zeta", "alpha", "head", "top"]);
    let first = lstm(&network.nodes[0].layer);
    // Kernels are (inputs, 4 units): unit 1's gate g is column 5, row 6 here.
    let row: Vec<f64> = (0..3).map(|i| value(8 * i + 5).into()).collect();
    assert_eq!(first.w.row(6), row);
    assert_eq!(first.b[6..7], [f64::from(value(5))]);
    assert_eq!(lstm(&network.nodes[1].layer).b, [0.0; 8]);
    for (layer, expected) in network.nodes[2..].iter().map(|n| &n.layer).zip([Activation::Relu, Activation::Softmax]) {
        let Layer::Dense(d) = layer else { panic!() };
        assert_eq!(d.activation, expected);
        assert_eq!(d.w.row(0), [f64::from(value(0)), f64::from(value(2))]);
    }
}

#[test]
fn sequential_models_that_are_refused() {
    refused(keras(&[INPUT, ("LSTM", "one", ""), ("LSTM", "two", "")]), &["layer \"two\"", "return_sequences"]);
    refused(keras(&[("Activation", "act", r#""activation":"relu","#)]), &["layer \"act\"", "input"]);
    refused(keras(&[INPUT]), &["m.keras", "0 layers"]);
    for units in ["4611686018427387904", "9223372036854775807", "-1", "\"two\""] {
        let lstm = format!("\"units\":{units},");
        refused(keras(&[INPUT, ("LSTM", "wide", &lstm)]), &["layer \"wide\""]);
        refused(keras(&[INPUT, ("Dense", "wide", &lstm)]), &["layer \"wide\""]);
        let no_bias = format!("{lstm}\"use_bias\":false,");
        refused(keras(&[INPUT, ("Dense", "wide", &no_bias)]), &["layer \"wide\""]);
    }
}

#[test]
fn a_map_cannot_reorder_a_keras_model() {
    let file = keras_as("Sequential", "", &[INPUT, ("LSTM", "one", ""), ("Dense", "head", "")], weights());
    refused(
        imported("m.keras", &file, Some("[[layer]]\nname = \"head\"\nactivation = \"softmax\"\n")),
        &["model.toml", "layer \"head\"", "tells its layers itself"],
    );
    let named = |layer: &str| format!("[[output]]\nlayer = \"{layer}\"\nlabels = [\"a\", \"b\"]\n");
    assert_eq!(imported("m.keras", &file, Some(&named("head"))).unwrap().labels(), ["a", "b"]);
    refused(imported("m.keras", &file, Some(&named("one"))), &["[[output]]", "\"one\" is no output", "head"]);
}

#[test]
fn quantized_weights_are_not_read_as_floats() {
    let mut h5 = hdf5_pure::FileBuilder::new();
    let mut root = h5.create_group("layers");
    let mut layer = root.create_group("dense");
    let mut vars = layer.create_group("vars");
    vars.create_dataset("0").with_i8_data(&[100, -100, 50, 7]).with_shape(&[2, 2]);
    dataset(&mut vars, "1", &[2]);
    dataset(&mut vars, "2", &[2]);
    layer.add_group(vars.finish());
    root.add_group(layer.finish());
    let file = keras_as("Sequential", "", &[("Dense", "q", r#""batch_input_shape":[null,2],"#)], root.finish());
    refused(imported("m.keras", &file, None), &["layer \"q\"", "i8", "float32"]);
}

fn node(from: &str) -> String {
    format!(
        r#"|{{"args":[{{"class_name":"__keras_tensor__","config":{{"keras_history":["{from}",0,0]}}}}],"kwargs":{{}}}}"#
    )
}

#[test]
fn functional_graphs_and_what_is_no_graph() {
    let functional = |outputs: &str, lstm_from: &str, head_from: &str| {
        let (one, two) = (node(lstm_from), node(head_from));
        let file = keras_as(
            "Functional",
            &format!("\"input_layers\":[[\"in\",0,0]],\"output_layers\":{outputs},"),
            &[INPUT, ("LSTM", "one", &one), ("Dense", "head", &two)],
            weights(),
        );
        imported("m.keras", &file, None)
    };
    // Keras writes a single output plainly and several as a list.
    for outputs in [r#"["head",0,0]"#, r#"[["head",0,0]]"#] {
        let network = functional(outputs, "in", "one").unwrap();
        assert_eq!(network.nodes.len(), 2);
    }
    // Several outputs, or the one of a layer that is not the last: the other layer goes.
    let network = functional(r#"[["one",0,0],["head",0,0]]"#, "in", "one").unwrap();
    assert_eq!(network.heads.iter().map(|h| h.node).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(functional(r#"["one",0,0]"#, "in", "one").unwrap().nodes.len(), 1);
    refused(functional(r#"["head",0,0]"#, "in", "in"), &["layer \"head\"", "shape [2, 2]", "[3, 2]"]);
    refused(functional(r#"["head",0,0]"#, "head", "one"), &["layer \"one\"", "its input head", "before it"]);
    refused(functional(r#"["nowhere",0,0]"#, "in", "one"), &["m.keras", "output"]);
}
