//! Recurrent layers, their cells and their directions.

use super::builder::Builder;
use super::config::Entry;
use super::flow::{Flow, Steps};
use super::merge::sums;
use super::weights::Place;
use crate::error::Result;
use cellstate_reference::{Activation, Gru, Layer, Lstm, Matrix, Node, Rnn, Source};

/// Positions of i, f, g, o.
const LSTM_GATES: [usize; 4] = [0, 1, 2, 3];
/// Positions of r, z, n.
const GRU_GATES: [usize; 3] = [1, 0, 2];

impl Builder<'_> {
    /// A layer of one cell or of several on top of each other; `reverse` if it walks its input from the end.
    pub(super) fn recurrent(
        &mut self,
        entry: &Entry,
        name: &str,
        place: &Place,
        input: &Flow,
        reverse: bool,
    ) -> Result<Flow> {
        let Steps::Every(steps) = input.steps else {
            let cause = "it is fed by a layer that returns only its last state";
            return Err(self.refuse(entry, cause, "give that one return_sequences=True"));
        };
        if entry.flag("time_major") {
            return Err(self.refuse(entry, "its input is time_major", "train it with time_major=False"));
        }
        if !input.masked {
            self.unmasked.get_or_insert_with(|| name.to_owned());
        }
        // Of a sequence that already runs backwards, its end is the input's beginning.
        let backward = reverse != input.reversed;
        self.windowed |= backward;
        let cells = self.cells(entry, place)?;
        let mut flow = input.clone();
        let count = cells.len();
        for (k, (cell, place)) in cells.into_iter().enumerate() {
            let layer = self.cell(&cell, &place, &flow)?;
            let width = layer.outputs(flow.width);
            let last = k + 1 == count && !entry.flag("return_sequences");
            let name = if k == 0 { name.to_owned() } else { format!("{name}_{k}") };
            self.nodes.push(Node { name, layer, from: flow.from.clone(), backward, last });
            flow = flow.to(Source::Node(self.nodes.len() - 1), width);
            flow.anchored = true;
            flow.reversed = backward && !last;
            flow.masked &= !last;
            flow.steps = if last { Steps::One } else { Steps::Every(steps) };
        }
        Ok(flow)
    }

    /// With `return_state` the last hidden state is a second output. A cell state, the third, is not to be had.
    pub(super) fn with_state(&mut self, entry: &Entry, flow: Flow) -> Vec<Flow> {
        if !entry.flag("return_state") || entry.class == "RNN" {
            return vec![flow];
        }
        if flow.steps == Steps::One {
            return vec![flow.clone(), flow];
        }
        let [Source::Node(k)] = flow.from[..] else { return vec![flow] };
        let node = Node { last: true, ..self.nodes[k].clone() };
        self.nodes.push(node);
        let node = Source::Node(self.nodes.len() - 1);
        let state = Flow { steps: Steps::One, reversed: false, masked: false, ..flow.to(node, flow.width) };
        vec![flow, state]
    }

    /// The cells of a layer with their weights.
    fn cells<'v>(&self, entry: &Entry<'v>, place: &Place) -> Result<Vec<(Entry<'v>, Place)>> {
        // Of a cell's errors the layer is the place.
        let read = |value| Entry { name: entry.name, ..Entry::read(value) };
        if entry.class != "RNN" {
            let place = if entry.class.starts_with("CuDNN") { place.clone() } else { place.part("cell") };
            return Ok(vec![(*entry, place)]);
        }
        let value = &entry.config["cell"];
        let own = Entry::read(value);
        if own.class != "StackedRNNCells" || own.custom().is_some() {
            return Ok(vec![(read(value), place.wrapped("cell", &own))]);
        }
        let list = own.config["cells"].as_array().map(Vec::as_slice).unwrap_or_default();
        let own: Vec<Entry> = list.iter().map(Entry::read).collect();
        if own.is_empty() {
            return Err(self.refuse(entry, "it has no cells", "give it one or more"));
        }
        Ok(list.iter().map(read).zip(place.part("cell").inner("cells", &own)).collect())
    }

    fn cell(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        if let Some(own) = entry.custom() {
            let cause = format!("its class {own} is not Keras's own, and its code is not in the file");
            return Err(self.refuse(entry, cause, "train with the layer of keras.layers"));
        }
        match entry.class.strip_suffix("Cell").unwrap_or(entry.class) {
            "LSTM" => self.lstm(entry, place, input),
            "GRU" => self.gru(entry, place, input),
            "SimpleRNN" => self.simple(entry, place, input),
            "CuDNNLSTM" => self.cudnn_lstm(entry, place, input),
            "CuDNNGRU" => self.cudnn_gru(entry, place, input),
            class => {
                let cause = format!("its cell is a {class}");
                Err(self.refuse(entry, cause, "use LSTMCell, GRUCell or SimpleRNNCell"))
            }
        }
    }

    /// Kernels of a cell of so many gates: input and recurrent, rows gate by gate.
    fn kernels(&mut self, entry: &Entry, place: &Place, input: &Flow, gates: usize) -> Result<(usize, Matrix, Matrix)> {
        let units = self.size(entry, "units")?;
        let cols = gates * units;
        let w = self.weights.read(entry, place, (0, "kernel"), &[input.width, cols])?;
        let u = self.weights.read(entry, place, (1, "recurrent_kernel"), &[units, cols])?;
        let w = Matrix { rows: input.width, cols, data: w }.transpose();
        Ok((units, w, Matrix { rows: units, cols, data: u }.transpose()))
    }

    fn lstm(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        let gates = self.gates(entry)?;
        let (units, w, u) = self.kernels(entry, place, input, 4)?;
        let w = self.absorb(entry, w, input)?;
        let b = self.bias(entry, place, 2, 4 * units)?;
        Ok(Layer::Lstm(Lstm { gates, ..Lstm::from_gate_major(LSTM_GATES, &w, &u, &b) }))
    }

    fn gru(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        let gates = self.gates(entry)?;
        let (units, w, u) = self.kernels(entry, place, input, 3)?;
        let w = self.absorb(entry, w, input)?;
        // Keras 2 began without this key.
        let after = entry.flag("reset_after");
        let (mut b, mut second) = (vec![0.0; 3 * units], Vec::new());
        if entry.config["use_bias"].as_bool() == Some(false) {
            self.bias(entry, place, 2, 3 * units)?;
        } else {
            let shape = if after { vec![2, 3 * units] } else { vec![3 * units] };
            b = self.weights.read(entry, place, (2, "bias"), &shape)?;
            second = b.split_off(3 * units);
        }
        Ok(Layer::Gru(Gru { gates, ..Gru::from_gate_major(GRU_GATES, &w, &u, &b, &second, after) }))
    }

    fn simple(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        let activation = self.activation_of(entry, "activation")?;
        if matches!(activation, Activation::Softmax | Activation::Silu | Activation::Gelu { .. }) {
            let cause = format!("its activation is {}", entry.config["activation"]);
            return Err(self.refuse(entry, cause, "use tanh, relu or sigmoid"));
        }
        let (units, w, u) = self.kernels(entry, place, input, 1)?;
        let w = self.absorb(entry, w, input)?;
        let b = self.bias(entry, place, 2, units)?;
        Ok(Layer::Rnn(Rnn { w, u, b, activation, initial: None }))
    }

    /// cuDNN keeps each gate's kernels turned, and has two biases that add.
    fn cudnn_lstm(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        let (units, w, u) = self.kernels(entry, place, input, 4)?;
        let (w, u) = (turned(&w, units), turned(&u, units));
        let w = self.absorb(entry, w, input)?;
        let mut b = self.weights.read(entry, place, (2, "bias"), &[8 * units])?;
        let second = b.split_off(4 * units);
        b.iter_mut().zip(second).for_each(|(b, s)| *b += s);
        Ok(Layer::Lstm(Lstm::from_gate_major(LSTM_GATES, &w, &u, &b)))
    }

    fn cudnn_gru(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Layer> {
        let (units, w, u) = self.kernels(entry, place, input, 3)?;
        let (w, u) = (turned(&w, units), turned(&u, units));
        let w = self.absorb(entry, w, input)?;
        let mut b = self.weights.read(entry, place, (2, "bias"), &[6 * units])?;
        let second = b.split_off(3 * units);
        Ok(Layer::Gru(Gru::from_gate_major(GRU_GATES, &w, &u, &b, &second, true)))
    }

    /// The function of the gates; the other one is tanh.
    fn gates(&self, entry: &Entry) -> Result<Activation> {
        let (tanh, gates) = (&entry.config["activation"], &entry.config["recurrent_activation"]);
        if *tanh != "tanh" {
            let cause = format!("its activation is {tanh} and only tanh is supported");
            return Err(self.refuse(entry, cause, "train it with Keras's default activations"));
        }
        match gates.as_str() {
            Some("sigmoid") => Ok(Activation::Sigmoid),
            Some("hard_sigmoid") => Ok(Activation::HardSigmoid { slope: self.slope }),
            _ => {
                let cause = format!("its recurrent_activation is {gates}");
                Err(self.refuse(entry, cause, "train it with sigmoid or hard_sigmoid"))
            }
        }
    }

    /// Two layers, one of which walks backwards.
    pub(super) fn bidirectional(&mut self, entry: &Entry, place: &Place, input: &Flow) -> Result<Vec<Flow>> {
        let own = Entry::read(&entry.config["layer"]);
        let other = &entry.config["backward_layer"];
        let reverse = own.flag("go_backwards");
        let (back, back_reverse) = if other.is_null() {
            (own, !reverse)
        } else {
            let back = Entry::read(other);
            (back, back.flag("go_backwards"))
        };
        let mut flows = Vec::new();
        for (part, inner, reverse) in [("forward", own, reverse), ("backward", back, back_reverse)] {
            let place = place.wrapped(&format!("{part}_layer"), &inner);
            let inner = Entry { name: entry.name, ..inner };
            if inner.custom().is_some()
                || !["LSTM", "GRU", "SimpleRNN", "RNN", "CuDNNLSTM", "CuDNNGRU"].contains(&inner.class)
            {
                let cause = format!("it wraps a {}", inner.custom().unwrap_or_else(|| inner.class.to_owned()));
                return Err(self.refuse(entry, cause, "wrap an LSTM, a GRU or a SimpleRNN of keras.layers"));
            }
            flows.push(self.recurrent(&inner, &format!("{}_{part}", entry.name), &place, input, reverse)?);
        }
        // Keras turns the second one around.
        if flows[1].steps != Steps::One {
            flows[1].reversed = !flows[1].reversed;
        }
        let merge = &entry.config["merge_mode"];
        let half = match merge.as_str() {
            None if merge.is_null() => return Ok(flows),
            Some("concat") => return Ok(vec![self.join(entry, &flows)?]),
            Some("sum") => 1.0,
            Some("ave") => 0.5,
            _ => {
                let cause = format!("its merge_mode is {merge}");
                return Err(self.refuse(entry, cause, "train it with merge_mode \"concat\", \"sum\" or \"ave\""));
            }
        };
        if flows[0].width != flows[1].width {
            return Err(self.refuse(entry, "its directions have different widths", "give both the same units"));
        }
        let joined = self.join(entry, &flows)?;
        Ok(vec![sums(&joined, &[half, half])])
    }
}

/// Each gate's kernel, of so many units a row block, read in the other order of its rows and columns.
fn turned(kernel: &Matrix, units: usize) -> Matrix {
    // `kernel` is (gates * units) x inputs; the file has a gate's values unit by unit where Keras has them input by input.
    let inputs = kernel.cols;
    Matrix::from_fn(kernel.rows, inputs, |r, c| {
        let (gate, flat) = (r / units, (r % units) * inputs + c);
        kernel.data[(gate * units + flat % units) * inputs + flat / units]
    })
}
