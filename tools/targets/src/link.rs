//! The serial line.

use arbitrary::{Arbitrary, Result, Unstructured};
use cellstate_app::link::{MAX_FRAME, Receiver, Request, Response, encode};

/// Any bytes are messages or errors; a message arrives whole after a zero byte, whatever came before it.
pub fn link(bytes: &[u8]) {
    let mut receiver = Receiver::new();
    receive::<Request>(&mut receiver, bytes);
    let mut receiver = Receiver::new();
    receive::<Response>(&mut receiver, bytes);
    let _ = among_garbage(&mut Unstructured::new(bytes));
}

fn receive<T: for<'de> serde::Deserialize<'de>>(receiver: &mut Receiver, bytes: &[u8]) {
    for &byte in bytes {
        drop(receiver.push::<T>(byte));
    }
}

fn among_garbage(u: &mut Unstructured) -> Result<()> {
    let mut receiver = Receiver::new();
    while !u.is_empty() {
        let garbage = <&[u8]>::arbitrary(u)?;
        receive::<Request>(&mut receiver, garbage);
        let _ = receiver.push::<Request>(0);
        let request = match u.arbitrary::<u8>()? % 4 {
            0 => Request::Hello,
            1 => Request::Reset,
            2 => Request::Stack,
            _ => Request::Sample(u.arbitrary_iter()?.take(64).collect::<Result<_>>()?),
        };
        let mut frame = [0xaa; MAX_FRAME];
        let len = encode(&request, &mut frame).unwrap_or_else(|e| panic!("{request:?} does not encode: {e:?}"));
        let (last, frame) = frame[..len].split_last().unwrap_or((&1, &[]));
        assert!(*last == 0 && !frame.contains(&0));
        assert!(frame.iter().all(|&byte| receiver.push::<Request>(byte).is_none()));
        assert_eq!(receiver.push(0), Some(Ok(request)));
    }
    Ok(())
}
