//! Probabilities against softmax in 64-bit floats, on real logits.

use cellstate::{Aligned, Model, Session, State};

static BLOB: &Aligned<[u8]> = &Aligned(*include_bytes!("models/digits/digits.cell"));

#[test]
fn probabilities_are_within_a_tenth_of_a_percent() {
    let model = Model::parse(&BLOB.0).unwrap();
    let mut state = State::<2048>::new();
    let mut session = Session::new(&model, &mut state).unwrap();
    let mut worst = 0.0f64;
    for t in 0..2000i32 {
        let sample: Vec<i16> = (0..13).map(|k| ((t * (7 + k) * 131) % 4001 - 2000) as i16).collect();
        let output = session.step_i16(&sample).unwrap();
        let mut got = [0.0; 10];
        assert_eq!(output.probabilities(&mut got), 10);
        let logits: Vec<f64> = output.iter().map(|v| f64::from(v) * f64::from(output.scale())).collect();
        let expected = cellstate_reference::cell::softmax(&logits);
        for (a, b) in got.iter().zip(&expected) {
            worst = worst.max((f64::from(*a) - b).abs());
        }
        let best = got.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap().0;
        assert!((got[best] - got[output.argmax()]).abs() < 1e-6);
    }
    println!("largest error of a probability: {worst:.5}");
    assert!(worst <= 0.001, "{worst}");
    let mut few = [0.0; 3];
    assert_eq!(session.output().probabilities(&mut few), 3);
}
