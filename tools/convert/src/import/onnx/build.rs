//! The network under construction: what layers take of signals.

use super::signal::{Axis, Column, Row, Signal};
use super::{Fault, fault};
use cellstate_reference::{Activation, Dense, Layer, Matrix, Node, Source};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;

/// The most numbers that one model may make the importer hold beside its weights.
const MOST: usize = 1 << 27;

/// Which step of a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum End {
    First,
    Last,
}

/// A node to be, or one step of another's sequence.
pub(super) enum Made {
    Layer(Box<Node>),
    Pick(Source, End),
}

/// Columns, and the sources whose joined values they are.
type Whole = (Rc<Vec<Column>>, Vec<Source>);

pub(super) struct Builder {
    pub(super) made: Vec<Made>,
    pub(super) picks: HashMap<(Source, End), usize>,
    /// Number of values of each.
    widths: Vec<usize>,
    pub(super) inputs: usize,
    /// Nodes that flatten a sequence.
    pub(super) flattened: HashSet<usize>,
    /// Sources that were made for signals, by their columns, which must live as long.
    wholes: HashMap<*const Vec<Column>, Whole>,
    spent: usize,
}

impl Builder {
    pub(super) fn new(inputs: usize) -> Self {
        Self {
            made: Vec::new(),
            picks: HashMap::new(),
            widths: Vec::new(),
            inputs,
            flattened: HashSet::new(),
            wholes: HashMap::new(),
            spent: 0,
        }
    }

    /// Counts numbers that are about to be allocated.
    pub(super) fn spend(&mut self, numbers: Option<usize>) -> Result<(), Fault> {
        self.spent = numbers.and_then(|n| self.spent.checked_add(n)).unwrap_or(usize::MAX);
        if self.spent <= MOST {
            return Ok(());
        }
        Err(fault("the model unfolds to more than 134 million numbers here", "give a model for a microcontroller"))
    }

    pub(super) fn width(&self, source: Source) -> usize {
        match source {
            Source::Input | Source::Stream(_) => self.inputs,
            Source::Node(k) => self.widths[k],
        }
    }

    /// A new node, with its inputs.
    pub(super) fn node(&mut self, name: &str, layer: Layer, from: Vec<Source>) -> usize {
        let inputs = from.iter().map(|&s| self.width(s)).sum();
        self.widths.push(layer.outputs(inputs));
        self.made.push(Made::Layer(Box::new(Node::new(name, layer, from))));
        self.made.len() - 1
    }

    pub(super) fn get_mut(&mut self, k: usize) -> Option<&mut Node> {
        match self.made.get_mut(k) {
            Some(Made::Layer(node)) => Some(node),
            _ => None,
        }
    }

    /// All values of a node.
    pub(super) fn columns(&self, node: usize) -> Vec<Column> {
        (0..self.widths[node]).map(|k| Column::one(Source::Node(node), k)).collect()
    }

    /// One step of each source.
    pub(super) fn pick(&mut self, signal: &Signal, end: End) -> Result<Vec<Column>, Fault> {
        let end = match (signal.reversed, end) {
            (false, end) => end,
            (true, End::First) => End::Last,
            (true, End::Last) => End::First,
        };
        let mut columns = (*signal.columns).clone();
        for term in columns.iter_mut().flat_map(|c| &mut c.terms) {
            let backward =
                matches!(term.source, Source::Node(k) if matches!(&self.made[k], Made::Layer(n) if n.backward));
            if end == End::First && !backward {
                return Err(fault("it takes the first step of a sequence that runs forward", "take the last step"));
            }
            let width = self.width(term.source);
            let k = *self.picks.entry((term.source, end)).or_insert_with(|| {
                self.made.push(Made::Pick(term.source, end));
                self.widths.push(width);
                self.made.len() - 1
            });
            term.source = Source::Node(k);
        }
        Ok(columns)
    }

    /// Sources whose values, joined, are the signal's features in order.
    pub(super) fn whole(&mut self, name: &str, signal: &Signal) -> Result<Vec<Source>, Fault> {
        if let Some(from) = self.joined(&signal.columns) {
            return Ok(from);
        }
        let key = Rc::as_ptr(&signal.columns);
        if let Some((_, from)) = self.wholes.get(&key) {
            return Ok(from.clone());
        }
        let from = self.gathered(name, signal)?;
        self.wholes.insert(key, (Rc::clone(&signal.columns), from.clone()));
        Ok(from)
    }

    /// A layer that yields the signal's features.
    fn gathered(&mut self, name: &str, signal: &Signal) -> Result<Vec<Source>, Fault> {
        if signal.columns.iter().all(|c| c.terms.len() == 1) {
            let bare = |c: &Column| Column::one(c.terms[0].source, c.terms[0].index);
            if let Some(from) = self.joined(&signal.columns.iter().map(bare).collect::<Vec<_>>()) {
                let scale = signal.columns.iter().map(|c| c.terms[0].factor).collect();
                let offset = signal.columns.iter().map(|c| c.offset).collect();
                return Ok(vec![Source::Node(self.node(name, Layer::Affine { scale, offset }, from))]);
            }
        }
        let (from, w) = self.spread(&signal.columns)?;
        let b = signal.columns.iter().map(|c| c.offset).collect();
        let dense = Dense { w, b, activation: Activation::Linear };
        Ok(vec![Source::Node(self.node(name, Layer::Dense(dense), from))])
    }

    /// Sources for a layer with weights, and the weights as they are for them.
    ///
    /// A choice, another order or a sum of values goes into the weights; a scale of its own is left to be folded later.
    pub(super) fn weighted(&mut self, name: &str, signal: &Signal, w: &Matrix) -> Result<(Vec<Source>, Matrix), Fault> {
        if w.cols != signal.width() {
            let cause = format!("it takes {} values and is given {}", w.cols, signal.width());
            return Err(fault(cause, "export the model again"));
        }
        let scaled = signal.columns.iter().any(|c| c.offset != 0.0 || c.terms.len() == 1 && c.plain().is_none());
        if scaled || self.joined(&signal.columns).is_some() {
            return Ok((self.whole(&format!("{name}/input"), signal)?, w.clone()));
        }
        let (from, places) = self.places(&signal.columns);
        let width: usize = from.iter().map(|&s| self.width(s)).sum();
        self.spend(w.rows.checked_mul(width))?;
        let mut spread = Matrix { rows: w.rows, cols: width, data: vec![0.0; w.rows * width] };
        for (row, values) in spread.data.chunks_exact_mut(width.max(1)).enumerate() {
            for (column, weight) in signal.columns.iter().zip(w.row(row)) {
                for t in &column.terms {
                    values[places[&t.source] + t.index] += weight * t.factor;
                }
            }
        }
        Ok((from, spread))
    }

    /// The sources of columns in the order of their first use, and where the values of each begin when they are joined.
    fn places(&self, columns: &[Column]) -> (Vec<Source>, HashMap<Source, usize>) {
        let (mut from, mut places, mut width) = (Vec::new(), HashMap::new(), 0);
        for t in columns.iter().flat_map(|c| &c.terms) {
            places.entry(t.source).or_insert_with(|| {
                from.push(t.source);
                width += self.width(t.source);
                width - self.width(t.source)
            });
        }
        (from, places)
    }

    /// The matrix that makes columns, without their offsets, out of their sources.
    fn spread(&mut self, columns: &[Column]) -> Result<(Vec<Source>, Matrix), Fault> {
        let (from, places) = self.places(columns);
        let width: usize = from.iter().map(|&s| self.width(s)).sum();
        self.spend(columns.len().checked_mul(width))?;
        let mut w = Matrix { rows: columns.len(), cols: width, data: vec![0.0; columns.len() * width] };
        for (row, column) in w.data.chunks_exact_mut(width.max(1)).zip(columns) {
            for t in &column.terms {
                row[places[&t.source] + t.index] += t.factor;
            }
        }
        Ok((from, w))
    }

    /// The sources whose joined values are these columns, if there are such.
    fn joined(&self, columns: &[Column]) -> Option<Vec<Source>> {
        let (mut from, mut left) = (Vec::new(), columns);
        while let Some(first) = left.first() {
            let (source, _) = first.plain()?;
            let (these, rest) = left.split_at_checked(self.width(source))?;
            if these.iter().enumerate().any(|(k, c)| c.plain() != Some((source, k))) {
                return None;
            }
            from.push(source);
            left = rest;
        }
        Some(from)
    }

    /// A linear layer of its own on features, which what follows may be folded into.
    pub(super) fn linear(&mut self, name: &str, signal: &Signal, w: &Matrix, b: Vec<f64>) -> Result<usize, Fault> {
        self.spend(Some(w.data.len()))?;
        let (from, w) = self.weighted(name, signal, w)?;
        Ok(self.node(name, Layer::Dense(Dense { w, b, activation: Activation::Linear }), from))
    }

    /// The node that a signal is the only view of, and which of its values each feature is.
    fn own(&self, signal: &Signal) -> Option<(usize, Vec<usize>)> {
        let node = signal.open?;
        let index = |c: &Column| c.plain().filter(|(s, _)| *s == Source::Node(node)).map(|(_, k)| k);
        let at: Vec<usize> = signal.columns.iter().map(index).collect::<Option<_>>()?;
        let mut seen = vec![false; self.widths[node]];
        for &k in &at {
            seen[k] = true;
        }
        (at.len() == seen.len() && seen.iter().all(|&s| s)).then_some((node, at))
    }

    /// Each feature times a factor, and an offset: in the layer before, or left to the one that follows.
    pub(super) fn affine(&mut self, signal: &Signal, factor: &[f64], offset: &[f64]) -> Signal {
        let own = self.own(signal);
        let layer = own.as_ref().and_then(|(k, _)| self.get_mut(*k)).map(|n| &mut n.layer);
        match (own.as_ref(), layer) {
            (Some((_, at)), Some(Layer::Dense(d))) if d.activation == Activation::Linear => {
                for ((&row, f), o) in at.iter().zip(factor).zip(offset) {
                    d.w.data[row * d.w.cols..][..d.w.cols].iter_mut().for_each(|w| *w *= f);
                    d.b[row] = d.b[row] * f + o;
                }
                return signal.clone();
            }
            (Some((_, at)), Some(Layer::LayerNorm { scale: s, offset: b, .. })) => {
                for ((&k, f), o) in at.iter().zip(factor).zip(offset) {
                    s[k] *= f;
                    b[k] = b[k] * f + o;
                }
                return signal.clone();
            }
            _ => {}
        }
        let columns = signal.columns.iter().zip(factor).zip(offset).map(|((c, &f), &o)| c.affine(f, o)).collect();
        signal.with(signal.axes.clone(), columns)
    }

    /// An activation: of the linear layer before, or of a layer of its own.
    pub(super) fn activated(&mut self, name: &str, signal: &Signal, activation: Activation) -> Result<Signal, Fault> {
        if let Some((k, _)) = self.own(signal)
            && let Some(Node { layer: Layer::Dense(d), .. }) = self.get_mut(k)
            && d.activation == Activation::Linear
        {
            d.activation = activation;
            return Ok(Signal { open: None, state: false, ..signal.clone() });
        }
        let (from, w) = self.spread(&signal.columns)?;
        let b = signal.columns.iter().map(|c| c.offset).collect();
        let node = self.node(name, Layer::Dense(Dense { w, b, activation }), from);
        Ok(signal.with(signal.axes.clone(), self.columns(node)))
    }

    /// The features of all steps as features: a window as long as the sequence.
    pub(super) fn unroll(&mut self, name: &str, signal: &Signal) -> Result<Signal, Fault> {
        let Some((axis, steps)) = signal.time() else { return Ok(signal.clone()) };
        let known = steps.known().and_then(|n| usize::try_from(n).ok());
        let Some(taps) = known.filter(|_| signal.axes[axis].is(Row::Time)) else {
            let cause = "it joins all steps, and the model does not say how many they are";
            return Err(fault(cause, "export the model with a fixed number of steps"));
        };
        self.spend(signal.width().checked_mul(taps))?;
        if taps * signal.width() > u16::MAX as usize || signal.reversed {
            return Err(fault("it joins all steps to more than 65535 values", "give a model for a microcontroller"));
        }
        let from = self.whole(&format!("{name}/features"), signal)?;
        let window = Layer::Window { taps, dilation: 1, stride: 1, causal: false };
        let node = self.node(name, window, from);
        self.flattened.insert(node);
        let mut axes = signal.axes.clone();
        axes[axis] = Axis::Features(taps);
        // The window's values are tap by tap: as if time were the first axis. Move it to where it stands.
        let mut first = vec![Axis::Features(taps)];
        first.extend(signal.axes.iter().enumerate().filter(|(k, _)| *k != axis).map(|(_, a)| a.clone()));
        let order: Vec<usize> = (0..axes.len())
            .map(|k| match k.cmp(&axis) {
                std::cmp::Ordering::Less => k + 1,
                std::cmp::Ordering::Equal => 0,
                std::cmp::Ordering::Greater => k,
            })
            .collect();
        let mut out = signal.with(first, self.columns(node)).transposed(&order);
        out.ended = true;
        Ok(out)
    }

    /// A node whose values are the signal's.
    pub(super) fn head(&mut self, name: &str, signal: &Signal) -> Result<usize, Fault> {
        if let [Source::Node(k)] = self.whole(name, signal)?[..] {
            return Ok(k);
        }
        let (from, w) = self.spread(&signal.columns)?;
        let b = vec![0.0; w.rows];
        let dense = Dense { w, b, activation: Activation::Linear };
        Ok(self.node(name, Layer::Dense(dense), from))
    }
}
