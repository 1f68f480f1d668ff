//! The host's own session beside the board's.

use cellstate::Session;
use cellstate_app::protocol::Prediction;

/// A sample of this step of its sequence, as the board takes it.
pub(super) fn step(host: &mut Session, step: usize, counts: &[i16]) -> bool {
    if step == 0 {
        host.reset();
    }
    host.step_i16(counts).is_ok()
}

/// Whether a prediction of the board is the session's own: outputs, decision and state.
pub(super) fn same(host: &Session, prediction: &Prediction) -> bool {
    let heads = 0..host.model().header().heads.len();
    let output = host.output();
    prediction.argmax == output.argmax() as u16
        && prediction.new == output.is_new()
        && heads.flat_map(|head| host.head(head).iter().collect::<Vec<_>>()).eq(prediction.outputs.iter().copied())
        && prediction.digest == host.digest()
}

/// Of all outputs, head by head.
pub(super) fn scores(host: &Session) -> Vec<f32> {
    let mut scores = Vec::new();
    for head in 0..host.model().header().heads.len() {
        let mut own = vec![0.0; host.model().head_width(head)];
        host.head(head).probabilities(&mut own);
        scores.extend(own);
    }
    scores
}
