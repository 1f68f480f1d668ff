//! The tensors of a checkpoint as nodes of a network.

use super::super::pytorch::tensors::{Tensors, join};
use crate::error::Result;
use cellstate_reference::{Activation, Dense, Head, InputMap, Layer, Matrix, Network, Node, Source};
use std::cell::RefCell;
use std::collections::HashSet;

/// What older versions saved that the model computes itself: masks and angles.
const COMPUTED: [&str; 3] = [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"];

pub(super) struct Parts<'a> {
    tensors: &'a Tensors<'a>,
    /// Tensors that were read.
    used: RefCell<HashSet<String>>,
    nodes: Vec<Node>,
}

impl<'a> Parts<'a> {
    pub(super) fn new(tensors: &'a Tensors<'a>) -> Self {
        Self { tensors, used: RefCell::default(), nodes: Vec::new() }
    }

    pub(super) fn has(&self, module: &str) -> bool {
        self.tensors.has(module, "weight")
    }

    fn values<const N: usize>(&self, module: &str, name: &str, shape: [usize; N]) -> Result<Vec<f64>> {
        self.used.borrow_mut().insert(join(module, name));
        Ok(self.tensors.values(module, name, shape)?.1.to_vec())
    }

    /// A module's `weight` of two dimensions.
    pub(super) fn matrix(&self, module: &str, [rows, cols]: [usize; 2]) -> Result<Matrix> {
        Ok(Matrix { rows, cols, data: self.values(module, "weight", [rows, cols])? })
    }

    /// A module's only dimension, its `weight` or its `bias`.
    pub(super) fn vector(&self, module: &str, name: &str, width: usize) -> Result<Vec<f64>> {
        self.values(module, name, [width])
    }

    /// `nn.Linear`.
    pub(super) fn linear(&self, module: &str, [inputs, outputs]: [usize; 2], bias: bool) -> Result<Dense> {
        let w = self.matrix(module, [outputs, inputs])?;
        let b = if bias { self.vector(module, "bias", outputs)? } else { vec![0.0; outputs] };
        Ok(Dense { w, b, activation: Activation::Linear })
    }

    /// `Conv1D` of `transformers`: a linear layer whose matrix is (inputs, outputs).
    pub(super) fn conv1d(&self, module: &str, [inputs, outputs]: [usize; 2]) -> Result<Dense> {
        let w = self.matrix(module, [inputs, outputs])?.transpose();
        Ok(Dense { w, b: self.vector(module, "bias", outputs)?, activation: Activation::Linear })
    }

    pub(super) fn push(&mut self, name: &str, layer: Layer, from: &[Source]) -> Source {
        self.nodes.push(Node::new(name, layer, from.to_vec()));
        Source::Node(self.nodes.len() - 1)
    }

    /// The logits of the next token: a matrix of its own, or that of the embedding.
    pub(super) fn head(&mut self, tied: bool, table: &Matrix, from: Source) -> Result<()> {
        let mut w = table.clone();
        if !tied || self.has("lm_head") {
            w = self.matrix("lm_head", [table.rows, table.cols])?;
        }
        if tied && w != *table {
            let cause = "its weights are not those of the embedding, and config.json says tie_word_embeddings";
            return Err(self.tensors.refuse("lm_head", cause, "set tie_word_embeddings as the model was trained"));
        }
        let b = vec![0.0; w.rows];
        self.push("lm_head", Layer::Dense(Dense { w, b, activation: Activation::Linear }), &[from]);
        Ok(())
    }

    /// The network, if every tensor has its place in it.
    pub(super) fn finish(self) -> Result<Network> {
        let used = self.used.into_inner();
        let left = self.tensors.names().find(|n| !used.contains(*n) && COMPUTED.iter().all(|c| !n.ends_with(c)));
        if let Some(name) = left {
            let cause = format!("config.json tells of no tensor \"{name}\"");
            return Err(self
                .tensors
                .refuse("", cause, "give the configuration of this model, without adapters")
                .at(name));
        }
        Ok(Network {
            name: String::new(),
            heads: vec![Head { node: self.nodes.len() - 1, labels: Vec::new() }],
            nodes: self.nodes,
            input: InputMap::identity(1),
            streams: Vec::new(),
            window: None,
            mask: None,
        })
    }
}
