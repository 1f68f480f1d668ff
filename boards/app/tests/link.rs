//! Frames: they come back, nothing damaged passes, and after any garbage the next one is understood.

use cellstate_app::link::{Body, FrameError, MAX_BODY, MAX_FRAME, Message, Receiver, encode, frame};
use cellstate_app::protocol::Request;
use proptest::prelude::*;

fn framed(number: u16, body: &[u8]) -> Vec<u8> {
    let mut out = [0xaa; MAX_FRAME];
    let len = frame(Message { number, body }, &mut out).unwrap();
    out[..len].to_vec()
}

/// A frame as it was received: its number and its body, or why it was refused.
type Received = Result<(u16, Vec<u8>), FrameError>;

fn received(receiver: &mut Receiver, bytes: &[u8]) -> Vec<Received> {
    let frame = |&byte: &u8| Some(receiver.push(byte)?.map(|m| (m.number, m.body.to_vec())));
    bytes.iter().filter_map(frame).collect()
}

/// COBS by its definition (Cheshire and Baker 1999), beside the library's.
fn cobs(plain: &[u8]) -> Vec<u8> {
    let blocks = plain.split(|&b| b == 0);
    blocks
        .flat_map(|block| {
            assert!(block.len() < 254, "longer blocks are split, and no frame has one");
            std::iter::once(block.len() as u8 + 1).chain(block.iter().copied())
        })
        .collect()
}

#[test]
fn a_frame_is_what_the_description_says() {
    let body = [1, 2, 0, 3];
    let plain = [&[0x34, 0x12], &body[..]].concat();
    let crc = cellstate::model::checksum([&*plain]).to_le_bytes();
    let expected = [&[0][..], &cobs(&[&plain[..], &crc].concat()), &[0]].concat();
    assert_eq!(framed(0x1234, &body), expected);
}

#[test]
fn frames_of_every_length_come_back() {
    let mut receiver = Receiver::new();
    for len in 0..=MAX_BODY {
        for fill in [0, 1, 255] {
            let body = vec![fill; len];
            let bytes = framed(len as u16, &body);
            assert!(bytes.len() <= MAX_FRAME);
            assert!(
                matches!(bytes.as_slice(), [0, stuffed @ .., 0] if !stuffed.contains(&0)),
                "zeros are ends of frames"
            );
            assert_eq!(received(&mut receiver, &bytes), [Ok((len as u16, body))]);
        }
    }
    let mut out = [0; MAX_FRAME];
    assert_eq!(frame(Message { number: 0, body: &[1; MAX_BODY + 1] }, &mut out), Err(FrameError::Message));
}

#[test]
fn what_is_too_large_does_not_encode() {
    let mut body = Body::new();
    let bytes = |n| (0..n).map(|_| 0).collect::<heapless::Vec<u8, 300>>();
    assert_eq!(encode(&bytes(MAX_BODY - 2), &mut body), Ok(()));
    assert_eq!(body.len(), MAX_BODY);
    assert_eq!(encode(&bytes(MAX_BODY - 1), &mut body), Err(FrameError::Message));
}

#[test]
fn no_flipped_bit_passes_and_the_next_frame_does() {
    let good = framed(7, &[1, 0, 2, 0, 0, 3, 255, 128]);
    for bit in 8..(good.len() - 1) * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bytes.extend(&good);
        let got = received(&mut Receiver::new(), &bytes);
        let (last, before) = got.split_last().unwrap();
        assert!(!before.is_empty() && before.iter().all(Result::is_err), "bit {bit}: {got:?}");
        assert_eq!(*last, Ok((7, vec![1, 0, 2, 0, 0, 3, 255, 128])), "bit {bit}");
    }
}

#[test]
fn each_kind_of_damage_has_its_error() {
    let mut receiver = Receiver::new();
    assert_eq!(received(&mut receiver, &[0; 100]), [], "empty frames are none");
    assert_eq!(received(&mut receiver, &[7; 10 * MAX_FRAME]), []);
    assert_eq!(received(&mut receiver, &[0]), [Err(FrameError::TooLong)]);
    let good = framed(7, &[1, 2, 3]);
    assert_eq!(received(&mut receiver, &good), [Ok((7, vec![1, 2, 3]))]);
    let mut other = good.clone();
    other[5] ^= 0x10;
    assert_eq!(received(&mut receiver, &other), [Err(FrameError::Checksum)]);
    let cut = [&good[..good.len() - 3], &[0]].concat();
    assert_eq!(received(&mut receiver, &cut), [Err(FrameError::Framing)]);
    assert_eq!(received(&mut receiver, &[1, 1, 1, 0]), [Err(FrameError::Framing)], "no room for a checksum");
    assert_eq!(received(&mut receiver, &good), [Ok((7, vec![1, 2, 3]))]);
}

#[test]
fn what_is_no_message_does_not_decode() {
    let decode = |body: &[u8]| Message { number: 0, body }.decode::<Request>();
    assert_eq!(decode(&[3]), Ok(Request::Reset));
    for body in [&[][..], &[3, 0], &[200], &[1, 9, 1], &[1, 65], &[0, 1]] {
        assert_eq!(decode(body), Err(FrameError::Message), "{body:?}");
    }
}

proptest! {
    /// Garbage of any length before a frame, zeros in it or not: the frame is the last that is received, and is understood.
    #[test]
    fn a_frame_is_understood_after_any_garbage(
        garbage in prop::collection::vec(prop_oneof![4 => any::<u8>(), 1 => Just(0)], 0..700),
        number: u16,
        body in prop::collection::vec(any::<u8>(), 0..=MAX_BODY),
    ) {
        let mut receiver = Receiver::new();
        let before = received(&mut receiver, &garbage);
        prop_assert!(before.iter().all(Result::is_err));
        let got = received(&mut receiver, &framed(number, &body));
        // What the garbage ended in ends with the frame's first byte.
        prop_assert!(got.len() <= 2);
        prop_assert_eq!(got.last(), Some(&Ok((number, body))));
    }

    /// Frames that were cut anywhere, or lost a byte, cost nobody else anything.
    #[test]
    fn whole_frames_among_cut_ones_all_come(
        frames in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..40), any::<prop::sample::Index>(), 0..3u8), 1..20),
    ) {
        let (mut line, mut whole) = (Vec::new(), Vec::new());
        for (number, body, at, fate) in frames {
            let mut bytes = framed(number, &body);
            match fate {
                0 => whole.push((number, body)),
                1 => bytes.truncate(at.index(bytes.len() - 1)),
                _ => _ = bytes.remove(2 + at.index(bytes.len() - 3)),
            }
            line.extend(bytes);
        }
        let got = received(&mut Receiver::new(), &line);
        prop_assert_eq!(got.into_iter().filter_map(Result::ok).collect::<Vec<_>>(), whole);
    }
}
