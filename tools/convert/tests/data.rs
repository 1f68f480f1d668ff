//! What data files hold, and what is wrong with them: the library's side, `errors.rs` has the command's.

use cellstate_convert::data::{Sequence, Sequences, load, npy, read_array};
use std::io::Write;
use std::path::{Path, PathBuf};

fn header(version: u8, descr: &str, fortran: &str, shape: &str) -> Vec<u8> {
    let text = format!("{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}   \n");
    let mut out = b"\x93NUMPY".to_vec();
    out.extend([version, 0]);
    if version == 1 {
        out.extend((text.len() as u16).to_le_bytes());
    } else {
        out.extend((text.len() as u32).to_le_bytes());
    }
    out.extend(text.as_bytes());
    out
}

fn array(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    [&header(1, descr, "False", shape), data].concat()
}

fn doubles(shape: &str, values: &[f64]) -> Vec<u8> {
    let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    array("<f8", shape, &bytes)
}

fn parse(bytes: &[u8]) -> Result<npy::Array, String> {
    npy::parse(Path::new("a.npy"), bytes).map_err(|e| e.to_string())
}

fn npz(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in arrays {
        let options = zip::write::SimpleFileOptions::default();
        zip.start_file(format!("{name}.npy"), options).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn file(folder: &tempfile::TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

fn loaded(name: &str, bytes: &[u8]) -> Result<Sequences, String> {
    let folder = tempfile::tempdir().unwrap();
    load(&file(&folder, name, bytes)).map_err(|e| e.to_string())
}

/// The error names the file and each of `words`, in one line.
fn refused<T: std::fmt::Debug>(result: Result<T, String>, words: &[&str]) {
    let said = result.unwrap_err();
    assert_eq!(said.lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "{said:?} does not name {word:?}");
    }
}

#[test]
fn every_version_and_element_type_of_npy() {
    for version in 1..=3 {
        let bytes = [header(version, "|u1", "False", "(2,)"), vec![7, 255]].concat();
        assert_eq!(parse(&bytes).unwrap().data, [7.0, 255.0], "{version}");
    }
    refused(parse(&header(4, "|u1", "False", "(0,)")), &["version"]);
    let cases: [(&str, Vec<u8>); 10] = [
        ("<f4", (-2f32).to_le_bytes().into()),
        ("<f8", (-2f64).to_le_bytes().into()),
        ("|i1", (-2i8).to_le_bytes().into()),
        ("<i2", (-2i16).to_le_bytes().into()),
        ("<i4", (-2i32).to_le_bytes().into()),
        ("<i8", (-2i64).to_le_bytes().into()),
        ("|u1", 2u8.to_le_bytes().into()),
        ("<u2", 2u16.to_le_bytes().into()),
        ("<u4", 2u32.to_le_bytes().into()),
        ("|b1", vec![1]),
    ];
    for (descr, bytes) in cases {
        let expected = match descr.as_bytes()[1] {
            b'u' => 2.0,
            b'b' => 1.0,
            _ => -2.0,
        };
        let read = parse(&array(descr, "(1,)", &bytes)).unwrap();
        assert_eq!(read.data, [expected], "{descr}");
    }
    refused(parse(&array(">f4", "(1,)", &[0; 4])), &["a.npy", ">f4", "little-endian"]);
    refused(parse(&array("|O", "(1,)", &[0; 8])), &["|O"]);
}

#[test]
fn fortran_order_is_reordered() {
    // Element (i, j, k) holds 100 i + 10 j + k; in the file i runs fastest.
    let mut data = Vec::new();
    for k in 0..4u8 {
        for j in 0..3 {
            for i in 0..2 {
                data.push(100 * i + 10 * j + k);
            }
        }
    }
    let read = parse(&[header(1, "|u1", "True", "(2, 3, 4)"), data].concat()).unwrap();
    let expected = (0..24).map(|n| f64::from(100 * (n / 12) + 10 * (n / 4 % 3) + n % 4));
    assert!(read.data.iter().copied().eq(expected), "{:?}", read.data);
}

#[test]
fn damaged_npy_is_an_error_and_never_a_panic() {
    let whole = doubles("(2, 2)", &[1.0, 2.0, 3.0, 4.0]);
    for cut in 0..whole.len() {
        refused(parse(&whole[..cut]), &["a.npy"]);
    }
    for at in 0..whole.len() {
        for bit in 0..8 {
            let mut damaged = whole.clone();
            damaged[at] ^= 1 << bit;
            let _ = parse(&damaged);
        }
    }
    // Shapes whose product overflows or is zero beside a huge dimension: nothing is allocated for them.
    for shape in [
        "(18446744073709551615, 2)",
        "(4294967296, 4294967296, 0)",
        "(0, 18446744073709551615)",
        "(0, 9223372036854775808, 2)",
        "(99999999999999999999,)",
        "(-1, 2)",
    ] {
        refused(loaded("d.npy", &array("<f8", shape, &[])), &["d.npy"]);
    }
}

#[test]
fn shapes_of_npy_are_sequences() {
    let one = loaded("d.npy", &doubles("(3,)", &[1.0, 2.0, 3.0])).unwrap();
    assert_eq!((one.features, one.sequences.len()), (1, 1));
    assert_eq!(one.sequences[0].len(), 3);
    let two = loaded("d.npy", &doubles("(2, 2)", &[1.0, 2.0, 3.0, 4.0])).unwrap();
    assert_eq!(two.sequences[0].step(1), [3.0, 4.0]);
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    let three = loaded("d.npy", &doubles("(2, 3, 2)", &values)).unwrap();
    assert_eq!((three.features, three.sequences.len()), (2, 2));
    assert_eq!(three.sequences[1].step(2), [10.0, 11.0]);
    refused(loaded("d.npy", &doubles("(1, 1, 1, 1)", &[0.0])), &["[1, 1, 1, 1]"]);
    refused(loaded("d.npy", &doubles("()", &[0.0])), &["d.npy"]);
}

#[test]
fn ragged_npz_has_labels_for_sequences_or_steps() {
    let x = || ("X", doubles("(3, 1)", &[1.0, 2.0, 3.0]));
    let lengths = || ("lengths", array("|u1", "(2,)", &[1, 2]));
    let with = |y| loaded("d.npz", &npz(&[x(), lengths(), ("y", y)])).unwrap();
    let whole = with(array("|i1", "(2,)", &[5, 6]));
    let lens: Vec<usize> = whole.sequences.iter().map(Sequence::len).collect();
    assert_eq!(lens, [1, 2]);
    assert_eq!(whole.sequences[1].step(1), [3.0]);
    assert_eq!(whole.sequences[1].label(0), Some(6));
    let steps = with(array("|i1", "(3,)", &[5, 6, 7]));
    assert_eq!(steps.sequences[1].label(0), Some(6));
    assert_eq!(steps.sequences[1].label(1), Some(7));
    let none = loaded("d.npz", &npz(&[x(), lengths()])).unwrap();
    assert_eq!(none.sequences[0].label(0), None);
}

#[test]
fn lengths_and_labels_are_whole_numbers() {
    let x = || ("x", doubles("(3, 1)", &[1.0, 2.0, 3.0]));
    let lengths = ("lengths", doubles("(2,)", &[1.5, 2.5]));
    refused(loaded("d.npz", &npz(&[x(), lengths])), &["lengths", "1.5", "whole number"]);
    for label in [0.7, f64::NAN] {
        let y = ("y", doubles("(3,)", &[0.0, label, 1.0]));
        refused(loaded("d.npz", &npz(&[x(), y])), &["y", "whole number"]);
    }
    // Classes saved as floats are whole numbers all the same.
    let y = ("y", doubles("(3,)", &[0.0, 2.0, 1.0]));
    let data = loaded("d.npz", &npz(&[x(), y])).unwrap();
    assert_eq!(data.sequences[0].label(1), Some(2));
    // One-hot rows are as many numbers as there may be steps, and no labels.
    let y = ("y", doubles("(1, 3)", &[0.0, 1.0, 0.0]));
    refused(loaded("d.npz", &npz(&[x(), y])), &["y", "[1, 3]"]);
}

#[test]
fn an_archive_that_would_unpack_beyond_the_limit() {
    let mut bytes = npz(&[("x", doubles("(1, 1)", &[0.0]))]);
    // The size in the central directory, which a reader believes.
    let at = bytes.windows(4).rposition(|w| w == b"PK\x01\x02").unwrap();
    bytes[at + 24..at + 28].copy_from_slice(&0x7fff_ffffu32.to_le_bytes());
    refused(loaded("d.npz", &bytes), &["d.npz", "x.npy", "1 GiB"]);
}

#[test]
fn columns_of_csv() {
    let text = "sequence,a,label,b\n1,1,0,2\n1,3,0,4\n2,5,1,6\n1,7,2,8\n";
    let data = loaded("d.csv", text.as_bytes()).unwrap();
    assert_eq!((data.features, data.sequences.len()), (2, 3));
    assert_eq!(data.sequences[0].step(1), [3.0, 4.0]);
    assert_eq!(data.sequences[1].label(0), Some(1));
    assert_eq!(data.sequences[2].label(0), Some(2));
    let plain = loaded("d.csv", b"a,b\n1,2\n3,4\n").unwrap();
    assert_eq!(plain.sequences.len(), 1);
    assert_eq!(plain.sequences[0].label(0), None);
    refused(loaded("d.csv", b"a,b\n"), &["no samples"]);
    refused(loaded("d.csv", b"label\n1\n"), &["no samples"]);
}

#[test]
fn the_line_of_a_csv_error_is_the_line_in_the_file() {
    refused(loaded("d.csv", b"a,b\n1,2\n\n\n3,x\n"), &["line 5, column \"b\""]);
}

#[test]
fn one_array_of_an_npz() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "d.npz", &npz(&[("a", doubles("(1, 2)", &[1.0, 2.0]))]));
    assert_eq!(read_array(&path, "a").unwrap().shape, [1, 2]);
    refused(read_array(&path, "b").map_err(|e| e.to_string()), &["d.npz", "b.npy"]);
}
