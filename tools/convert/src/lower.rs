//! The network as the device runs it: constant normalization folded into its neighbours, and a common unit before a
//! layer normalization.
//!
//! The result computes what the network does, up to the rounding of 64-bit floats; its heads are the same, its nodes may be
//! others.

use cellstate_reference::{Activation, Dense, Layer, Matrix, Network, Node, Source};

/// Folds and inserts until only layers are left that the device has.
pub fn lower(network: &Network) -> Network {
    let mut network = network.clone();
    while let Some(k) = network.nodes.iter().position(|n| matches!(n.layer, Layer::Affine { .. })) {
        fold(&mut network, k);
    }
    let mut k = 0;
    while k < network.nodes.len() {
        if matches!(network.nodes[k].layer, Layer::LayerNorm { .. }) && !has_one_unit(&network, k) {
            let width = network.input_width(k);
            let name = format!("{} input", network.nodes[k].name);
            let from = network.nodes[k].from.clone();
            let before = Node::new(&name, Layer::Dense(diagonal(&vec![1.0; width], vec![0.0; width])), from);
            insert(&mut network, k, before);
            network.nodes[k + 1].from = vec![Source::Node(k)];
            k += 1;
        }
        k += 1;
    }
    network
}

/// Device nodes before and at node `k`: joined inputs are nodes of their own there.
pub fn device_index(network: &Network, k: usize) -> usize {
    k + network.nodes.iter().take(k + 1).map(|n| n.from.len() - 1).sum::<usize>()
}

/// Samples have a unit a feature, and joined outputs may differ.
fn has_one_unit(network: &Network, k: usize) -> bool {
    let mut from = &network.nodes[k].from;
    loop {
        match from[..] {
            [Source::Node(n)] if matches!(network.nodes[n].layer, Layer::Window { .. }) => {
                from = &network.nodes[n].from;
            }
            [Source::Node(_)] => return true,
            _ => return false,
        }
    }
}

fn diagonal(scale: &[f64], offset: Vec<f64>) -> Dense {
    Dense { w: Matrix::diagonal(scale), b: offset, activation: Activation::Linear }
}

/// Removes a constant normalization: into the layers that take it, or the dense layer before it, or as a dense layer.
fn fold(network: &mut Network, k: usize) {
    let Layer::Affine { scale, offset } = network.nodes[k].layer.clone() else { return };
    // What yields its last step alone stands for that, too.
    if network.nodes[k].last {
        network.nodes[k].layer = Layer::Dense(diagonal(&scale, offset));
        return;
    }
    let is_head = network.heads.iter().any(|h| h.node == k);
    let takers: Vec<usize> =
        (0..network.nodes.len()).filter(|&n| network.nodes[n].from.contains(&Source::Node(k))).collect();
    if !is_head && !takers.is_empty() && takers.iter().all(|&n| input_weights(&mut network.nodes[n].layer).is_some()) {
        for n in takers {
            let mut column = 0;
            for source in network.nodes[n].from.clone() {
                if source == Source::Node(k) {
                    let Some((w, b)) = input_weights(&mut network.nodes[n].layer) else { continue };
                    for (row, b) in w.data.chunks_exact_mut(w.cols).zip(b) {
                        for (weight, (s, o)) in row[column..].iter_mut().zip(scale.iter().zip(&offset)) {
                            *b += *weight * o;
                            *weight *= s;
                        }
                    }
                }
                column += network.width(source);
            }
        }
        remove(network, k);
        return;
    }
    if let [Source::Node(before)] = network.nodes[k].from[..]
        && network.nodes.iter().filter(|n| n.from.contains(&Source::Node(before))).count() == 1
        && network.heads.iter().all(|h| h.node != before)
        && let Layer::Dense(Dense { w, b, activation: Activation::Linear }) = &mut network.nodes[before].layer
    {
        let cols = w.cols;
        for (r, (s, o)) in scale.iter().zip(&offset).enumerate() {
            w.data[r * cols..(r + 1) * cols].iter_mut().for_each(|w| *w *= s);
            b[r] = b[r] * s + o;
        }
        for head in &mut network.heads {
            if head.node == k {
                head.node = before;
            }
        }
        remove(network, k);
        return;
    }
    network.nodes[k].layer = Layer::Dense(diagonal(&scale, offset));
}

/// The matrix that a layer multiplies its input by, and the biases.
fn input_weights(layer: &mut Layer) -> Option<(&mut Matrix, &mut Vec<f64>)> {
    Some(match layer {
        Layer::Lstm(l) => (&mut l.w, &mut l.b),
        Layer::Gru(g) => (&mut g.w, &mut g.b),
        Layer::Rnn(r) => (&mut r.w, &mut r.b),
        Layer::Dense(d) => (&mut d.w, &mut d.b),
        _ => return None,
    })
}

/// Takes node `k` out; those behind it take its sources.
fn remove(network: &mut Network, k: usize) {
    let gone = network.nodes.remove(k);
    let source = |s: Source| match s {
        Source::Node(n) if n > k => vec![Source::Node(n - 1)],
        Source::Node(n) if n == k => gone.from.clone(),
        s => vec![s],
    };
    for node in &mut network.nodes {
        node.from = node.from.iter().flat_map(|&s| source(s)).collect();
    }
    network.heads.iter_mut().for_each(|h| h.node -= usize::from(h.node > k));
}

/// Puts a node before node `k`.
fn insert(network: &mut Network, k: usize, node: Node) {
    let moved = |n: usize| if n >= k { n + 1 } else { n };
    for node in &mut network.nodes {
        for source in &mut node.from {
            if let Source::Node(n) = source {
                *n = moved(*n);
            }
        }
    }
    network.heads.iter_mut().for_each(|h| h.node = moved(h.node));
    network.nodes.insert(k, node);
}
