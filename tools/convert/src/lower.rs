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
        if matches!(network.nodes[k].layer, Layer::LayerNorm { .. }) && !has_one_unit(&network, &network.nodes[k].from)
        {
            let from = network.nodes[k].from.clone();
            let before = identity(&network, k, from);
            insert(&mut network, k, before);
            network.nodes[k + 1].from = vec![Source::Node(k)];
            k += 1;
        }
        let units = needs_unit(&network.nodes[k]);
        for part in 0..network.nodes[k].from.len() {
            let from = network.nodes[k].from[part];
            let other = is_sample_of_another_stream(&network, k, part);
            if other || (units.contains(&part) && !has_one_unit(&network, &[from])) {
                let before = identity(&network, k, vec![from]);
                insert(&mut network, k, before);
                k += 1;
                network.nodes[k].from[part] = Source::Node(k - 1);
            }
        }
        // Keys that stand before values of their own end at a whole block.
        if let Some(before) = padded_keys(&mut network, k) {
            insert(&mut network, k, before);
            network.nodes[k + 1].from[1] = Source::Node(k);
            k += 1;
        }
        // The device joins two at a time.
        if network.nodes[k].layer.is_pointwise() && network.nodes[k].from.len() > 2 {
            let last = network.nodes[k].from.pop();
            let rest = network.nodes[k].clone();
            insert(&mut network, k, Node { name: format!("{} part", rest.name), ..rest });
            network.nodes[k + 1].from = std::iter::once(Source::Node(k)).chain(last).collect();
            continue;
        }
        k += 1;
    }
    network
}

/// A node takes samples of its own stream alone; attention those of its memories'.
fn is_sample_of_another_stream(network: &Network, k: usize, part: usize) -> bool {
    let node = &network.nodes[k];
    let of = |part: usize| network.stream(node.from[part]);
    let mine = if matches!(node.layer, Layer::Attention(_)) { part.min(1) } else { 0 };
    !matches!(node.from[part], Source::Node(_)) && of(part) != of(mine)
}

/// What pads attention's keys with zeros to a multiple of four, where values come from another source.
fn padded_keys(network: &mut Network, k: usize) -> Option<Node> {
    let from = network.nodes[k].from.clone();
    let width = from.get(1).map_or(0, |&s| network.width(s));
    let name = format!("{} keys", network.nodes[k].name);
    let Layer::Attention(a) = &mut network.nodes[k].layer else { return None };
    if a.apart.is_none() || width.is_multiple_of(4) {
        return None;
    }
    let padded = width.next_multiple_of(4);
    if let Some(keys) = &mut a.k {
        let w = &keys.w;
        keys.w = Matrix::from_fn(w.rows, padded, |r, c| w.row(r).get(c).copied().unwrap_or(0.0));
    }
    let w = Matrix::from_fn(padded, width, |r, c| f64::from(u8::from(r == c)));
    let dense = Dense { w, b: vec![0.0; padded], activation: Activation::Linear };
    Some(Node::new(&name, Layer::Dense(dense), vec![from[1]]))
}

/// Linear, with weights of one: values of any units in one of their own.
fn identity(network: &Network, k: usize, from: Vec<Source>) -> Node {
    let width = from.iter().map(|&s| network.width(s)).sum();
    let name = format!("{} input", network.nodes[k].name);
    Node::new(&name, Layer::Dense(diagonal(&vec![1.0; width], vec![0.0; width])), from)
}

/// The sources of a node whose values must have one unit, without a centre.
fn needs_unit(node: &Node) -> Vec<usize> {
    match &node.layer {
        Layer::Sum | Layer::Product => (0..node.from.len()).collect(),
        Layer::Position(_) => vec![0],
        Layer::Attention(a) => {
            let raw = [a.q.is_none(), a.k.is_none() || (a.apart.is_none() && a.v.is_none()), a.v.is_none()];
            (0..node.from.len()).filter(|&part| raw[part]).collect()
        }
        _ => Vec::new(),
    }
}

/// Device nodes before and at node `k`: joined inputs are nodes of their own there.
pub fn device_index(network: &Network, k: usize) -> usize {
    let joins = |n: &Node| match n.layer {
        Layer::Sum | Layer::Product => 0,
        Layer::Attention(_) => n.from.len() - 2,
        _ => n.from.len() - 1,
    };
    k + network.nodes.iter().take(k + 1).map(joins).sum::<usize>()
}

/// Samples have a unit a feature, and joined outputs may differ.
fn has_one_unit<'n>(network: &'n Network, mut from: &'n [Source]) -> bool {
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
