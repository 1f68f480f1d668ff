//! A profile is told of every layer, and changes nothing.

use cellstate::{Model, Profile, Session, State};

#[derive(Default)]
struct Told(Vec<(bool, usize)>);

impl Profile for Told {
    fn begin(&mut self, layer: usize) {
        self.0.push((true, layer));
    }

    fn end(&mut self, layer: usize) {
        self.0.push((false, layer));
    }
}

#[test]
fn layers_begin_and_end_in_order() {
    let bytes = std::fs::read("tests/models/watch/watch.cell").unwrap();
    let words: Vec<u32> = bytes.chunks_exact(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
    let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
    let (mut plain, mut profiled) = (State::<1024>::new(), State::<1024>::new());
    let mut plain = Session::new(&model, &mut plain).unwrap();
    let mut profiled = Session::new(&model, &mut profiled).unwrap();
    for t in 0..50i16 {
        let sample = [1, 2, 3, 4, 5, 6].map(|k| (t * k % 17 - 8) * 400);
        let mut told = Told::default();
        plain.step_i16(&sample).unwrap();
        profiled.step_profiled(&sample, &mut told).unwrap();
        assert_eq!(told.0, [(true, 0), (false, 0), (true, 1), (false, 1)]);
        assert_eq!(plain.digest(), profiled.digest());
    }
    let mut told = Told::default();
    assert!(profiled.step_profiled(&[0; 5], &mut told).is_err());
    assert!(told.0.is_empty());
}
