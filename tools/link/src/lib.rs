//! The host's side of the serial protocol (`docs/protocol.md`): a board behind a serial port, an emulated one behind a socket, or one
//! in this process.
//!
//! ```no_run
//! # fn main() -> Result<(), cellstate_link::LinkError> {
//! use cellstate_link::{Device, Settings, port};
//!
//! let port = port::open("/dev/ttyACM0", 115_200)?; // or unix:PATH, tcp:localhost:4444
//! let mut board = Device::connect(port, Settings::default())?;
//! let prediction = board.sample(&[-4438, -76, -112, 386, -1505, -2336])?;
//! println!("{:?}", board.label(0, prediction.argmax)?);
//! # Ok(()) }
//! ```
//!
//! * [`device`]: what a board can be asked: one method a question. [`Device::stream`] has several samples on their way at once.
//! * [`pipeline`]: numbers commands, and sends what was lost again; each is executed once.
//! * [`port`]: what carries the bytes. [`local`]: a board in this process.
//! * [`faulty`]: a line that damages frames; [`proof`]: that it costs nothing but time.

#![forbid(unsafe_code)]

pub mod device;
pub mod error;
pub mod faulty;
pub mod local;
pub mod pipeline;
pub mod port;
pub mod proof;

pub use cellstate_app::protocol;
pub use device::{Device, Progress};
pub use error::LinkError;
pub use pipeline::{Settings, Traffic};
pub use port::Port;
