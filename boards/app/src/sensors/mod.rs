//! Published drivers behind [`Sensor`](crate::sensor::Sensor), each with its settings and its counts.
//!
//! | module | part | features | counts |
//! | --- | --- | --- | --- |
//! | `lsm303agr` | LSM303AGR accelerometer, on the micro:bit v2 | x, y, z | 16 bits, left-justified, ±8 g |
//! | `lsm303dlhc` | LSM303DLHC magnetometer | x, y, z | 1100 a gauss, 980 of z; ±1.3 gauss |
//! | `mpu6050` | MPU-6050 accelerometer and gyroscope | x, y, z of both | 16 bits, ±8 g and ±2000 degrees/s |
//! | `tmp105` | TMP102, TMP105, TMP112: temperature | one | 1/16 degree Celsius |

#[cfg(feature = "lsm303agr")]
pub mod lsm303agr;
#[cfg(feature = "lsm303dlhc")]
pub mod lsm303dlhc;
#[cfg(feature = "mpu6050")]
pub mod mpu6050;
#[cfg(feature = "tmp105")]
pub mod tmp105;
