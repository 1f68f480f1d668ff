//! A recording stands in for a sensor, and ends.

use cellstate_app::recording::{FAILED, PREFIX, Recording};
use cellstate_app::sensor::{Fault, Sensor};

fn recorded(counts: &[i16]) -> Vec<u8> {
    let mut bytes = vec![0; PREFIX];
    bytes[4..].copy_from_slice(&1500u32.to_le_bytes());
    bytes.extend(counts.iter().flat_map(|c| c.to_le_bytes()));
    bytes
}

#[test]
fn samples_come_in_order_and_the_last_part_of_one_is_left_out() {
    let bytes = recorded(&[1, -2, FAILED, 7, i16::MAX, FAILED, 9]);
    let mut recording = Recording::<2>::new(&bytes);
    assert_eq!((recording.left(), recording.period()), (3, 1500));
    assert_eq!(recording.read(), Ok([1, -2]));
    assert_eq!(recording.read(), Err(Fault::NoAcknowledge));
    assert_eq!(recording.left(), 1);
    assert_eq!(recording.read(), Ok([i16::MAX, FAILED]));
    assert_eq!(recording.left(), 0);
    assert_eq!(recording.read(), Err(Fault::NoAcknowledge));
}

#[test]
fn nothing_recorded_is_no_sample() {
    for bytes in [&[][..], &[0; PREFIX - 1], &[0; PREFIX], &[0; PREFIX + 3]] {
        let recording = Recording::<2>::new(bytes);
        assert_eq!((recording.left(), recording.period()), (0, 1));
    }
    assert_eq!(Recording::<0>::new(&recorded(&[1])).left(), 0);
}
