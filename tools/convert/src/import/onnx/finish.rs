//! Which nodes remain in the end, and whether a window is needed for them.

use super::Fault;
use super::build::{Builder, End, Made};
use super::size::Size;
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};

impl Builder {
    /// The network of what the heads need. `steps` is the length of the input, if it is known.
    pub(super) fn finish(mut self, name: &str, heads: &[usize], steps: Option<Size>) -> Result<Network, Fault> {
        let mut used = vec![false; self.made.len()];
        for &h in heads {
            used[h] = true;
        }
        for k in (0..self.made.len()).rev() {
            if used[k] {
                for s in self.from(k) {
                    if let Source::Node(n) = s {
                        used[n] = true;
                    }
                }
            }
        }
        let windowed = self.windowed(&used);
        let steps = steps.and_then(Size::known).and_then(|n| usize::try_from(n).ok());
        let window = if windowed { steps } else { None };
        if windowed {
            for &k in &self.flattened.clone() {
                if let Some(Node { layer: Layer::Window { taps, stride, .. }, .. }) = self.get_mut(k) {
                    *stride = *taps;
                }
            }
        }
        // How often each is used, other than by taking one step or the other of it.
        let mut wholly = vec![false; self.made.len()];
        for &h in heads {
            wholly[h] = true;
        }
        for k in (0..self.made.len()).filter(|&k| used[k]) {
            if let Made::Layer(node) = &self.made[k] {
                for s in &node.from {
                    if let Source::Node(n) = s {
                        wholly[*n] = true;
                    }
                }
            }
        }
        let mut place: Vec<usize> = vec![0; self.made.len()];
        let mut nodes: Vec<Node> = Vec::new();
        for k in 0..self.made.len() {
            if !used[k] {
                continue;
            }
            let moved = |s: &Source| match s {
                s @ (Source::Input | Source::Stream(_)) => *s,
                Source::Node(n) => Source::Node(place[*n]),
            };
            match &self.made[k] {
                Made::Layer(node) => {
                    let from = node.from.iter().map(moved).collect();
                    nodes.push(Node { from, ..(**node).clone() });
                }
                Made::Pick(source, end) => {
                    let other = self.picks.get(&(*source, if *end == End::Last { End::First } else { End::Last }));
                    let alone = |n: usize| !wholly[n] && other.is_none_or(|&o| !used[o]);
                    match source {
                        // The step that the layer walks last: it need not yield the others.
                        Source::Node(n) if nodes[place[*n]].backward == (*end == End::First) => {
                            if alone(*n) {
                                nodes[place[*n]].last = true;
                                place[k] = place[*n];
                                continue;
                            }
                            let twin = nodes[place[*n]].clone();
                            if twin.backward {
                                let name = format!("{}/last", twin.name);
                                nodes.push(Node { last: true, name, ..twin });
                            } else {
                                nodes.push(self.identity(*source, moved(source))?);
                            }
                        }
                        _ => nodes.push(self.identity(*source, moved(source))?),
                    }
                }
            }
            place[k] = nodes.len() - 1;
        }
        let heads = heads.iter().map(|&h| Head { node: place[h], labels: Vec::new() }).collect();
        let input = InputMap::identity(self.inputs);
        Ok(Network { name: name.to_owned(), nodes, heads, input, streams: Vec::new(), window, mask: None })
    }

    /// The last step of a sequence that is needed besides.
    fn identity(&mut self, source: Source, from: Source) -> Result<Node, Fault> {
        let width = self.width(source);
        self.spend(width.checked_mul(width))?;
        let (w, b) = (Matrix::diagonal(&vec![1.0; width]), vec![0.0; width]);
        let dense = Dense { w, b, activation: Activation::Linear };
        Ok(Node { last: true, ..Node::new("last step", Layer::Dense(dense), vec![from]) })
    }

    fn from(&self, k: usize) -> Vec<Source> {
        match &self.made[k] {
            Made::Layer(node) => node.from.clone(),
            Made::Pick(source, _) => vec![*source],
        }
    }

    /// Whether a window must be there as a whole: something walks backward, or flattens what depends on where the window
    /// begins.
    fn windowed(&self, used: &[bool]) -> bool {
        let mut begins = vec![false; self.made.len()];
        for k in 0..self.made.len() {
            let own = match &self.made[k] {
                Made::Layer(node) => match node.layer {
                    Layer::Window { stride, causal, taps, .. } => stride > 1 || causal && taps > 1,
                    _ => node.layer.is_recurrent(),
                },
                Made::Pick(..) => false,
            };
            begins[k] = own || self.from(k).iter().any(|s| matches!(s, Source::Node(n) if begins[*n]));
        }
        (0..self.made.len()).filter(|&k| used[k]).any(|k| {
            let backward = matches!(&self.made[k], Made::Layer(node) if node.backward);
            let flat =
                self.flattened.contains(&k) && self.from(k).iter().any(|s| matches!(s, Source::Node(n) if begins[*n]));
            backward || flat
        })
    }
}
