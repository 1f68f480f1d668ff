//! The bytes of each message, which must stay as they are, and that each fits a frame at its longest.

use cellstate_app::link::{Body, FrameError, MAX_FRAME, Message, encode, frame};
use cellstate_app::protocol::{
    Counts, LAYERS, NAME, Named, PIECE, Prediction, Ready, Reason, Request, Response, StateError, VERSION,
};
use cellstate_app::server::Stack;
use cellstate_store::update::UpdateError;
use serde::{Serialize, de::DeserializeOwned};

fn bytes(message: &impl Serialize) -> Vec<u8> {
    let mut body = Body::new();
    encode(message, &mut body).unwrap();
    body.to_vec()
}

fn list<T: Clone, const N: usize>(items: &[T]) -> heapless::Vec<T, N> {
    heapless::Vec::from_slice(items).unwrap()
}

/// Comes back, and has these bytes.
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(messages: Vec<(T, Vec<u8>)>) {
    for (message, expected) in messages {
        let body = bytes(&message);
        assert_eq!(body, expected, "{message:?}");
        assert_eq!(Message { number: 1, body: &body }.decode::<T>(), Ok(message));
        for len in 0..body.len() {
            assert_eq!(Message { number: 1, body: &body[..len] }.decode::<T>(), Err(FrameError::Message));
        }
    }
}

#[test]
fn requests_have_the_bytes_of_version_1() {
    golden(vec![
        (Request::Hello { version: VERSION, connection: 300 }, vec![0, 1, 0, 0xac, 2]),
        (Request::Sample(list(&[1, -1, 300, i16::MIN])), vec![1, 4, 2, 1, 0xd8, 4, 0xff, 0xff, 3]),
        (Request::Profile(list(&[0, 64])), vec![2, 2, 0, 0x80, 1]),
        (Request::Reset, vec![3]),
        (Request::Save, vec![4]),
        (Request::Read { offset: 192 }, vec![5, 0xc0, 1]),
        (Request::Load { offset: 1, bytes: list(&[9, 0, 255]) }, vec![6, 1, 3, 9, 0, 255]),
        (Request::Restore, vec![7]),
        (Request::Layers { first: 32 }, vec![8, 32]),
        (Request::Counts, vec![9]),
        (Request::Stack, vec![10]),
        (Request::Name(Named::Output { head: 1, index: 200 }), vec![11, 0, 1, 0xc8, 1]),
        (Request::Name(Named::Feature(5)), vec![11, 1, 5]),
        (Request::UpdateBegin { bytes: 7540 }, vec![12, 0xf4, 0x3a]),
        (Request::UpdateWrite { offset: 192, bytes: list(&[1, 2]) }, vec![13, 0xc0, 1, 2, 1, 2]),
        (Request::UpdateReceived, vec![14]),
        (Request::UpdateFinish, vec![15]),
        (Request::Restart, vec![16]),
    ]);
}

#[test]
fn responses_have_the_bytes_of_version_1() {
    let ready = Ready {
        version: VERSION,
        connection: 300,
        model: 0x1234_5678,
        inputs: 6,
        outputs: 7,
        heads: 1,
        layers: 2,
        state_bytes: 316,
        saved_bytes: 324,
        window: 8,
    };
    let prediction =
        Prediction { argmax: 3, new: true, outputs: list(&[-1, 100]), digest: 0xffff_ffff, ticks: 128, latency: 5 };
    let counts = Counts {
        frames: 1,
        commands: 2,
        accepted: 3,
        refused: 4,
        repeated: 5,
        early: 6,
        old: 7,
        unconnected: 8,
        hellos: 9,
        too_long: 10,
        framing: 11,
        checksum: 300,
    };
    let refused = |reason| Response::Refused(reason);
    golden(vec![
        (Response::Ready(ready), vec![0, 1, 0, 0xac, 2, 0xf8, 0xac, 0xd1, 0x91, 1, 6, 7, 1, 2, 0xbc, 2, 0xc4, 2, 8]),
        (Response::Prediction(prediction), vec![1, 3, 1, 2, 1, 0xc8, 1, 0xff, 0xff, 0xff, 0xff, 15, 0x80, 1, 5]),
        (Response::Done, vec![2]),
        (Response::Saved(324), vec![3, 0xc4, 2]),
        (Response::Piece(list(&[0, 255])), vec![4, 2, 0, 255]),
        (Response::Received(192), vec![5, 0xc0, 1]),
        (Response::Layers(list(&[8987, 806])), vec![6, 2, 0x9b, 0x46, 0xa6, 6]),
        (Response::Counts(counts), vec![7, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 0xac, 2]),
        (Response::Stack(Stack { used: 1, size: 128 }), vec![8, 1, 0x80, 1]),
        (Response::Name("PEN".try_into().unwrap()), vec![9, 3, b'P', b'E', b'N']),
        (Response::Updated(2), vec![10, 2]),
        (Response::Missing, vec![11]),
        (refused(Reason::Unconnected), vec![12, 0]),
        (refused(Reason::Old), vec![12, 1]),
        (refused(Reason::Unknown), vec![12, 2]),
        (refused(Reason::Shape), vec![12, 3]),
        (refused(Reason::State(StateError::Room)), vec![12, 4, 0]),
        (refused(Reason::State(StateError::Nothing)), vec![12, 4, 1]),
        (refused(Reason::State(StateError::Gap)), vec![12, 4, 2]),
        (refused(Reason::State(StateError::Length)), vec![12, 4, 3]),
        (refused(Reason::State(StateError::OtherModel)), vec![12, 4, 4]),
        (refused(Reason::State(StateError::Checksum)), vec![12, 4, 5]),
        (refused(Reason::Update(UpdateError::Unsupported)), vec![12, 5, 0]),
        (refused(Reason::Update(UpdateError::NotBegun)), vec![12, 5, 1]),
        (refused(Reason::Update(UpdateError::Length)), vec![12, 5, 2]),
        (refused(Reason::Update(UpdateError::Gap)), vec![12, 5, 3]),
        (refused(Reason::Update(UpdateError::Manifest)), vec![12, 5, 4]),
        (refused(Reason::Update(UpdateError::Unsigned)), vec![12, 5, 5]),
        (refused(Reason::Update(UpdateError::Signature)), vec![12, 5, 6]),
        (refused(Reason::Update(UpdateError::Digest)), vec![12, 5, 7]),
        (refused(Reason::Update(UpdateError::Downgrade)), vec![12, 5, 8]),
        (refused(Reason::Update(UpdateError::Model)), vec![12, 5, 9]),
        (refused(Reason::Update(UpdateError::Shape)), vec![12, 5, 10]),
        (refused(Reason::Update(UpdateError::SelfTest)), vec![12, 5, 11]),
        (refused(Reason::Update(UpdateError::Flash)), vec![12, 5, 12]),
    ]);
}

#[test]
fn every_message_fits_at_its_longest() {
    let most = u32::MAX;
    let piece = list::<u8, PIECE>(&[255; PIECE]);
    for request in [
        Request::Sample(list(&[i16::MIN; 64])),
        Request::Profile(list(&[i16::MIN; 64])),
        Request::Load { offset: most, bytes: piece.clone() },
        Request::UpdateWrite { offset: most, bytes: piece.clone() },
    ] {
        assert!(bytes(&request).len() > PIECE);
    }
    let outputs = list(&[i32::MIN; 32]);
    let name = "x".repeat(NAME);
    for response in [
        Response::Prediction(Prediction {
            argmax: u16::MAX,
            new: true,
            outputs,
            digest: most,
            ticks: most,
            latency: most,
        }),
        Response::Piece(piece),
        Response::Layers(list(&[most; LAYERS])),
        Response::Name((&*name).try_into().unwrap()),
    ] {
        assert!(bytes(&response).len() > NAME);
    }
}

#[test]
fn the_description_has_the_bytes_of_a_conversation() {
    let text = include_str!("../../../docs/protocol.md");
    let sample = list(&[-4438, -76, -112, 386, -1505, -2336]);
    for (name, number, request) in [
        ("Hello", 0, Request::Hello { version: VERSION, connection: 300 }),
        ("Sample", 0, Request::Sample(sample)),
        ("Reset", 1, Request::Reset),
    ] {
        let mut out = [0; MAX_FRAME];
        let len = frame(Message { number, body: &bytes(&request) }, &mut out).unwrap();
        let hex: Vec<String> = out[..len].iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("{name:<8} {}", hex.join(" "));
        assert!(text.lines().any(|l| l == line), "docs/protocol.md lacks {line:?}");
    }
    assert!(text.contains(&format!("# The serial protocol, version {VERSION}")));
}
