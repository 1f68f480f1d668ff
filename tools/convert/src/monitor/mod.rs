//! `cellstate monitor`: samples of a file to a board, and what comes back of them, live.
//!
//! * [`samples`]: the file's samples as the raw counts that go over the link;
//! * [`drive`]: sends them at their rate, and connects again where the line breaks, losing no count;
//! * [`event`]: what happens meanwhile;
//! * [`seen`] and [`meter`]: what is known after each event;
//! * [`view`]: that on a terminal; [`lines`]: that as lines and as JSON.

pub mod drive;
pub mod event;
pub mod lines;
pub mod meter;
pub mod samples;
pub mod seen;
pub mod view;

pub use drive::Driver;
pub use drive::control::{Command, Control, Interruptible, Plan};
pub use event::{Board, Event, Shot};
pub use samples::Samples;
pub use seen::{Seen, Status, Unit};
