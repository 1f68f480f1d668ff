//! The memory layout, and which model goes into the firmware.

#[path = "../firmware.rs"]
mod firmware;

fn main() {
    firmware::set_up(&["-Tlink.x"], "watch");
}
