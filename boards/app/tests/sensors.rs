//! The sensors on buses that expect every byte: readings, missing acknowledgements, bus errors, foreign parts, stuck data.

use cellstate_app::sensor::{Fault, Lively, Sensor};
use cellstate_app::sensors::lsm303agr::Accelerometer;
use cellstate_app::sensors::lsm303dlhc::Magnetometer;
use cellstate_app::sensors::mpu6050::Motion;
use cellstate_app::sensors::tmp105::Thermometer;
use embedded_hal::i2c::{ErrorKind, NoAcknowledgeSource};
use embedded_hal_mock::eh1::delay::NoopDelay;
use embedded_hal_mock::eh1::i2c::{Mock, Transaction};

const NACK: ErrorKind = ErrorKind::NoAcknowledge(NoAcknowledgeSource::Address);

#[test]
fn a_thermometer_gives_sixteenths_of_a_degree() {
    let setup = || Transaction::write(0x48, vec![0x01, 0x60]);
    let read = |bytes: [u8; 2]| Transaction::write_read(0x48, vec![0], bytes.to_vec());
    let failed = |kind| read([0, 0]).with_error(kind);
    // 25.0625 and -0.5 degrees; then errors, of setting it up too, and a reading again.
    let bus = Mock::new(&[
        setup(),
        read([0x19, 0x10]),
        read([0xff, 0x80]),
        failed(NACK),
        setup().with_error(NACK),
        setup(),
        failed(ErrorKind::ArbitrationLoss),
        setup(),
        read([0x7f, 0xf0]),
    ]);
    let mut sensor = Thermometer::new(bus);
    assert_eq!(sensor.read(), Ok([401]));
    assert_eq!(sensor.read(), Ok([-8]));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::Bus));
    assert_eq!(sensor.read(), Ok([2047]));
    sensor.release().done();
}

/// What setting up an MPU-6050 sends: each register is read, changed and written.
fn motion_setup() -> Vec<Transaction> {
    let change = |register: u8, before: u8, after: u8| {
        [Transaction::write_read(0x68, vec![register], vec![before]), Transaction::write(0x68, vec![register, after])]
    };
    [
        // Out of sleep, ±8 g, ±2000 degrees/s, 21 Hz.
        change(0x6b, 0x40, 0x00),
        change(0x1c, 0x00, 0x10),
        change(0x1b, 0x00, 0x18),
        change(0x1a, 0x00, 0x04),
    ]
    .concat()
}

#[test]
fn a_motion_sensor_gives_six_counts() {
    let read = |bytes: Vec<u8>| Transaction::write_read(0x68, vec![0x3b], bytes);
    let mut expected = motion_setup();
    // Acceleration, temperature, which is not ours, and rotation; high bytes first.
    expected.push(read(vec![0x10, 0x00, 0xff, 0xff, 0x80, 0x00, 0x12, 0x34, 0x00, 0x01, 0x7f, 0xff, 0xfe, 0x00]));
    expected.push(read(vec![0; 14]).with_error(NACK));
    expected.push(read(vec![0; 14]).with_error(ErrorKind::Bus));
    let mut sensor = Motion::new(Mock::new(&expected)).ok().unwrap();
    assert_eq!(sensor.read(), Ok([4096, -1, -32768, 1, 32767, -512]));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::Bus));
    sensor.release().done();
}

#[test]
fn an_absent_motion_sensor_is_said_to_be_absent() {
    let mut bus = Mock::new(&[Transaction::write_read(0x68, vec![0x6b], vec![0]).with_error(NACK)]);
    assert_eq!(Motion::new(bus.clone()).err(), Some(Fault::NoAcknowledge));
    bus.done();
}

#[test]
fn an_accelerometer_gives_three_counts() {
    let read = |bytes: Vec<u8>| Transaction::write_read(0x19, vec![0x28 | 0x80], bytes);
    let write = |register: u8, value: u8| Transaction::write(0x19, vec![register, value]);
    let mut bus = Mock::new(&[
        // Data held while they are read, temperature enabled; the magnetometer's data are held too.
        write(0x23, 0x80),
        write(0x1f, 0xc0),
        Transaction::write(0x1e, vec![0x62, 0x10]),
        // ±8 g, high resolution, 100 Hz.
        write(0x23, 0xa0),
        write(0x20, 0x57),
        write(0x23, 0xa8),
        // Low bytes first.
        read(vec![0x40, 0x1f, 0xf0, 0xff, 0x00, 0x80]),
        read(vec![0; 6]).with_error(NACK),
        read(vec![0; 6]).with_error(ErrorKind::Overrun),
    ]);
    let mut sensor = Accelerometer::new(bus.clone(), &mut NoopDelay::new()).ok().unwrap();
    assert_eq!(sensor.read(), Ok([8000, -16, -32768]));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::Bus));
    drop(sensor.release());
    bus.done();
}

/// What setting up a magnetometer sends: its identity is read, then 75 Hz, ±1.3 gauss, continuous.
fn magnetometer_setup() -> Vec<Transaction> {
    let write = |register: u8, value: u8| Transaction::write(0x1e, vec![register, value]);
    let identity = Transaction::write_read(0x1e, vec![0x0a], b"H43".to_vec());
    vec![identity, write(0x00, 0x18), write(0x01, 0x20), write(0x02, 0x00)]
}

/// High bytes first, in the order x, z, y.
fn magnetometer_read(bytes: [u8; 6]) -> Transaction {
    Transaction::write_read(0x1e, vec![0x03], bytes.to_vec())
}

#[test]
fn a_magnetometer_gives_three_counts_and_is_set_up_again_after_each_fault() {
    let failed = |kind| magnetometer_read([0; 6]).with_error(kind);
    let bus = Mock::new(
        &[
            magnetometer_setup(),
            vec![magnetometer_read([0x02, 0x5d, 0xff, 0xfe, 0xf8, 0x00]), failed(NACK)],
            vec![Transaction::write_read(0x1e, vec![0x0a], vec![0; 3]).with_error(NACK)],
            magnetometer_setup(),
            vec![failed(ErrorKind::ArbitrationLoss)],
            magnetometer_setup(),
            vec![magnetometer_read([0x07, 0xff, 0x00, 0x01, 0x00, 0x80])],
        ]
        .concat(),
    );
    let mut sensor = Magnetometer::new(bus);
    assert_eq!(sensor.read(), Ok([605, -2048, -2]));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::NoAcknowledge));
    assert_eq!(sensor.read(), Err(Fault::Bus));
    assert_eq!(sensor.read(), Ok([2047, 128, 1]));
    sensor.release().done();
}

#[test]
fn another_part_at_the_magnetometers_address_is_foreign() {
    // An LSM303AGR's magnetometer has nothing there.
    let bus = Mock::new(&[Transaction::write_read(0x1e, vec![0x0a], vec![0; 3])]);
    let mut sensor = Magnetometer::new(bus);
    assert_eq!(sensor.read(), Err(Fault::Foreign));
    sensor.release().done();
}

#[test]
fn a_magnetometer_that_repeats_itself_is_stuck() {
    let same = || magnetometer_read([1, 0, 1, 1, 1, 2]);
    let mut bus = Mock::new(
        &[magnetometer_setup(), vec![same(), same(), same(), magnetometer_read([1, 0, 1, 1, 1, 3])]].concat(),
    );
    let mut sensor = Lively::new(Magnetometer::new(bus.clone()), 2);
    let seen: Vec<_> = (0..4).map(|_| sensor.read()).collect();
    assert_eq!(seen, [Ok([256, 258, 257]), Ok([256, 258, 257]), Err(Fault::Stuck), Ok([256, 259, 257])]);
    bus.done();
}

/// Readings out of a list.
struct List(std::vec::IntoIter<Result<[i16; 1], Fault>>);

impl Sensor<1> for List {
    fn read(&mut self) -> Result<[i16; 1], Fault> {
        self.0.next().unwrap()
    }
}

#[test]
fn a_lively_sensor_that_repeats_itself_is_stuck() {
    let readings = vec![Ok([1]), Ok([1]), Ok([1]), Ok([1]), Err(Fault::Bus), Ok([1]), Ok([2]), Ok([2]), Ok([1])];
    let mut sensor = Lively::new(List(readings.into_iter()), 3);
    let seen: Vec<_> = (0..9).map(|_| sensor.read()).collect();
    let stuck = Err(Fault::Stuck);
    assert_eq!(seen, [Ok([1]), Ok([1]), Ok([1]), stuck, Err(Fault::Bus), stuck, Ok([2]), Ok([2]), Ok([1])]);
}
