//! What the outputs of a board are called.

use crate::monitor::event::Board;
use cellstate::Session;
use cellstate_link::{Device, LinkError, Port};

/// Asks for the names of all outputs. The protocol tells how many there are, and not how many each head has.
pub(super) fn introduce<P: Port>(device: &mut Device<P>, host: Option<&Session>) -> Result<Board, LinkError> {
    let ready = *device.board();
    let outputs = usize::from(ready.outputs);
    let mut widths: Vec<usize> = match host {
        Some(host) => (0..host.model().header().heads.len()).map(|head| host.model().head_width(head)).collect(),
        None if ready.heads == 1 => vec![outputs],
        None => Vec::new(),
    };
    let mut names: Vec<String> = Vec::new();
    for head in 0..ready.heads {
        let known = widths.get(usize::from(head)).copied();
        let mut own = 0;
        while names.len() < outputs && known.is_none_or(|width| own < width) {
            let plain = || if ready.heads == 1 { format!("output{own}") } else { format!("output{head}_{own}") };
            match (device.label(head, own as u16)?, known) {
                (Some(label), _) => names.push(label),
                (None, Some(_)) => names.push(plain()),
                // No head has outputs with names behind one without.
                (None, None) => break,
            }
            own += 1;
        }
        if known.is_none() {
            widths.push(own);
        }
    }
    if names.len() != outputs {
        widths = vec![outputs];
        names = (0..outputs).map(|k| format!("output{k}")).collect();
    }
    Ok(Board { ready, names, widths })
}
