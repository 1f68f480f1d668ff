//! Keys, signatures and updates as the command line makes them, and what is wrong with those that it refuses.

use cellstate::{Model, Session, State};
use cellstate_app::device::{Device, Memory};
use cellstate_app::server::Stack;
use cellstate_convert::update::{Update, image, keys};
use cellstate_link::Port;
use cellstate_link::local::{Local, Micros};
use cellstate_store::layout::LayoutError;
use cellstate_store::{InPlace, Layout, Mapped, ModelStore, PublicKey, Shape, UpdateError, Updater};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_read};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::JoinHandle;
use std::time::Duration;

fn model(name: &str) -> String {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/models");
    folder.join(format!("{name}/{name}.cell")).display().to_string()
}

/// What the command prints, or its error.
fn cellstate(folder: &Path, arguments: &[&str]) -> Result<String, String> {
    let command = Command::new(env!("CARGO_BIN_EXE_cellstate")).args(arguments).current_dir(folder).output();
    let output = command.unwrap();
    let [out, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    match output.status.code() {
        Some(0) => Ok(out),
        Some(2) => Err(errors),
        code => panic!("{arguments:?}: {code:?} {errors}"),
    }
}

/// A folder with the pair `k.key` and the update `2.cellu` of the lane's model.
fn signed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    cellstate(folder.path(), &["keygen", "k.key"]).unwrap();
    let sign = ["sign", &model("lane"), "--key", "k.key", "--version", "2", "-o", "2.cellu"];
    cellstate(folder.path(), &sign).unwrap();
    folder
}

/// Asserts that a command fails, with a sentence that has these words.
fn fails(folder: &Path, arguments: &[&str], words: &[&str]) {
    let error = cellstate(folder, arguments).unwrap_err();
    for word in words {
        assert!(error.contains(word), "{arguments:?}: {word:?} is not in {error}");
    }
}

#[test]
fn a_key_is_made_once_and_is_its_owners_alone() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let said = cellstate(folder, &["keygen", "k.key"]).unwrap();
    let public = std::fs::read_to_string(folder.join("k.key.pub")).unwrap();
    assert!(public.trim().len() == 64 && said.contains(public.trim()), "{said}");
    let secret = std::fs::read_to_string(folder.join("k.key")).unwrap();
    assert!(secret.contains(public.trim()) && !said.contains(secret.lines().nth(1).unwrap()), "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(folder.join("k.key")).unwrap().permissions().mode() & 0o777, 0o600);
    }
    fails(folder, &["keygen", "k.key"], &["k.key: it is there already", "name another file"]);
    std::fs::rename(folder.join("k.key"), folder.join("old.key")).unwrap();
    fails(folder, &["keygen", "k.key"], &["k.key.pub: it is there already"]);
    assert!(!folder.join("k.key").exists(), "no half of a pair is left");
    assert_eq!(std::fs::read_to_string(folder.join("k.key.pub")).unwrap(), public);
    fails(folder, &["keygen", "none/k.key"], &["none/k.key", "name a file in a folder that exists"]);
    cellstate(folder, &["keygen", "other.key"]).unwrap();
    assert_ne!(std::fs::read_to_string(folder.join("other.key.pub")).unwrap(), public);
}

#[test]
fn a_signed_update_is_what_check_finds() {
    let folder = signed();
    let said = cellstate(folder.path(), &["check", "2.cellu", "--key", "k.key.pub"]).unwrap();
    let public = std::fs::read_to_string(folder.path().join("k.key.pub")).unwrap();
    let good = format!("signature: good, by {}", public.trim());
    for words in
        ["2.cellu: version 2, 2660 bytes", &good, "2500 bytes of flash", "164 bytes of state", "self-test: passed"]
    {
        assert!(said.contains(words), "{words:?} is not in\n{said}");
    }
    let said = cellstate(folder.path(), &["check", "2.cellu"]).unwrap();
    assert!(said.contains("signature: not verified"), "{said}");
    let json = |arguments: &[&str]| -> serde_json::Value {
        serde_json::from_str(&cellstate(folder.path(), arguments).unwrap()).unwrap()
    };
    let check = json(&["check", "2.cellu", "--key", "k.key.pub", "--json"]);
    assert_eq!((&check["version"], &check["signed"], &check["verified"]), (&2.into(), &true.into(), &true.into()));
    assert_eq!(json(&["check", "2.cellu", "--json"])["verified"], false);
    let again = ["sign", &model("lane"), "--key", "k.key", "--version", "2", "-o", "again.cellu"];
    cellstate(folder.path(), &again).unwrap();
    let [first, again] = ["2.cellu", "again.cellu"].map(|name| std::fs::read(folder.path().join(name)).unwrap());
    assert_eq!(first, again, "the same signature each time");
    assert_eq!(first[160..], std::fs::read(model("lane")).unwrap());
}

#[test]
fn wrong_keys() {
    let folder = signed();
    let folder = folder.path();
    cellstate(folder, &["keygen", "other.key"]).unwrap();
    fails(folder, &["check", "2.cellu", "--key", "other.key.pub"], &["2.cellu: it is signed with another key"]);
    fails(folder, &["check", "2.cellu", "--key", "k.key"], &["k.key: it is a secret key", ".pub"]);
    let sign = |key: &str, words: &[&str]| {
        fails(folder, &["sign", &model("lane"), "--key", key, "--version", "3", "-o", "3.cellu"], words);
        assert!(!folder.join("3.cellu").exists());
    };
    sign("k.key.pub", &["k.key.pub: it is a public key"]);
    sign("none.key", &["none.key", "check the path"]);
    std::fs::write(folder.join("noise.key"), [0xff; 100]).unwrap();
    sign("noise.key", &["noise.key: it is not text"]);
    std::fs::write(folder.join("text.key"), "a key\n").unwrap();
    sign("text.key", &["text.key: it is no secret key"]);
    fails(folder, &["check", "2.cellu", "--key", "text.key"], &["64 hexadecimal digits"]);
    // Every character of the secret file counts, but for the case of digits.
    let text = std::fs::read(folder.join("k.key")).unwrap();
    for at in 0..text.len() {
        let mut damaged = text.clone();
        damaged[at] ^= 1;
        std::fs::write(folder.join("d.key"), &damaged).unwrap();
        let newline = at + 1 == text.len();
        assert!(keys::secret(&folder.join("d.key")).is_err() || newline, "byte {at}");
    }
    std::fs::write(folder.join("d.key"), &text[..text.len() - 10]).unwrap();
    sign("d.key", &["d.key: the key is damaged", "backup"]);
    std::fs::write(folder.join("d.key"), [&text[..], b"more\n"].concat()).unwrap();
    sign("d.key", &["d.key: the key is damaged"]);
}

#[test]
fn what_is_no_model_is_not_signed() {
    let folder = signed();
    let folder = folder.path();
    let sign = |blob: &str, words: &[&str]| {
        fails(folder, &["sign", blob, "--key", "k.key", "--version", "3", "-o", "3.cellu"], words);
        assert!(!folder.join("3.cellu").exists());
    };
    sign("none.cell", &["none.cell", "check the path"]);
    std::fs::write(folder.join("text.cell"), "no blob").unwrap();
    sign("text.cell", &["text.cell", "convert the model again"]);
    fails(folder, &["inspect", "2.cellu"], &["2.cellu: this is not a cellstate blob", "`cellstate check`"]);
    sign("2.cellu", &["2.cellu: it is an update already"]);
    let mut blob = std::fs::read(model("lane")).unwrap();
    let last = blob.len() - 1;
    blob[last] ^= 1;
    std::fs::write(folder.join("damaged.cell"), &blob).unwrap();
    sign("damaged.cell", &["damaged.cell", "checksum does not match"]);
    let crc = cellstate::model::checksum([&blob[..16], &blob[20..]]);
    blob[16..20].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(folder.join("forged.cell"), &blob).unwrap();
    sign("forged.cell", &["forged.cell: the self-test fails here", "convert the model again"]);
    let zero = ["sign", &model("lane"), "--key", "k.key", "--version", "0", "-o", "3.cellu"];
    fails(folder, &zero, &["--version", "0 is not in 1.."]);
}

#[test]
fn damaged_updates_are_refused() {
    let folder = signed();
    let public = keys::public(&folder.path().join("k.key.pub")).unwrap();
    let file = folder.path().join("d.cellu");
    let update = std::fs::read(folder.path().join("2.cellu")).unwrap();
    // `boards/store/tests/tamper.rs` has every bit.
    for at in (0..160).chain((160..update.len()).step_by(9)) {
        let mut damaged = update.clone();
        damaged[at] ^= 1 << (at % 8);
        std::fs::write(&file, &damaged).unwrap();
        let found = Update::read(&file).and_then(|update| update.verify(&public));
        assert!(found.is_err(), "byte {at}");
    }
    for length in [0, 100, 160, 161, update.len() - 1] {
        std::fs::write(&file, &update[..length]).unwrap();
        fails(folder.path(), &["check", "d.cellu"], &["d.cellu: "]);
    }
    std::fs::write(&file, [&update[..], &[0]].concat()).unwrap();
    fails(folder.path(), &["check", "d.cellu"], &["length", "sign it again"]);
    fails(folder.path(), &["check", &model("lane")], &["does not begin with a manifest", "cellstate sign"]);
}

#[test]
fn updates_without_a_signature_are_asked_for_by_name() {
    let folder = signed();
    let folder = folder.path();
    let lane = model("lane");
    fails(folder, &["update", &lane, "-o", "3.cellu"], &["give a blob its version"]);
    fails(folder, &["update", &lane, "--version", "3", "-o", "3.cellu"], &["it is not signed", "--unsigned"]);
    fails(folder, &["update", &lane, "--version", "3"], &["--out", "--image"]);
    fails(folder, &["update", "2.cellu", "--version", "3", "-o", "3.cellu"], &["it is an update", "leave --version"]);
    let both = ["update", &lane, "--version", "3", "--key", "k.key", "--unsigned", "-o", "3.cellu"];
    fails(folder, &both, &["cannot be used with"]);
    assert!(!folder.join("3.cellu").exists());
    let said = cellstate(folder, &["update", &lane, "--version", "3", "--unsigned", "-o", "3.cellu"]).unwrap();
    assert_eq!(said, "3.cellu: version 3, unsigned, 2660 bytes\n");
    assert!(cellstate(folder, &["check", "3.cellu"]).unwrap().contains("signature: none"));
    fails(folder, &["check", "3.cellu", "--key", "k.key.pub"], &["3.cellu: it is not signed"]);
    fails(folder, &["update", "3.cellu", "-o", "4.cellu"], &["it is not signed", "--unsigned"]);
    cellstate(folder, &["update", &lane, "--version", "2", "--key", "k.key", "-o", "again.cellu"]).unwrap();
    let [first, again] = ["2.cellu", "again.cellu"].map(|name| std::fs::read(folder.join(name)).unwrap());
    assert_eq!(first, again);
    cellstate(folder, &["update", "2.cellu", "-o", "copy.cellu"]).unwrap();
    assert_eq!(first, std::fs::read(folder.join("copy.cellu")).unwrap());
}

/// Flash that a device begins with.
struct Chip(Vec<u32>);

impl Chip {
    fn with(image: &[u8], behind: u8) -> Self {
        let mut bytes = image.to_vec();
        bytes.resize(64 * 1024, behind);
        Self(bytes.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect())
    }

    fn bytes(&mut self) -> &mut [u8] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

impl ErrorType for Chip {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Chip {
    const READ_SIZE: usize = 4;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Self::Error> {
        check_read(self, offset, bytes.len())?;
        bytes.copy_from_slice(&self.bytes()[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.0.len() * 4
    }
}

impl NorFlash for Chip {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.bytes()[from as usize..to as usize].fill(0xff);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Self::Error> {
        let there = &mut self.bytes()[offset as usize..][..bytes.len()];
        assert!(there.iter().all(|&byte| byte == 0xff));
        there.copy_from_slice(bytes);
        Ok(())
    }
}

impl Mapped for Chip {
    fn view(&self, offset: u32, length: usize) -> Option<&[u8]> {
        bytemuck::cast_slice(&self.0).get(offset as usize..)?.get(..length)
    }
}

#[test]
fn a_device_begins_with_the_image_and_goes_on_with_updates() {
    let folder = signed();
    let folder = folder.path();
    let said =
        cellstate(folder, &["update", "2.cellu", "--image", "i.bin", "--slot", "8192", "--erase", "4096"]).unwrap();
    assert_eq!(said, "i.bin: flash image of version 2, signed, 10852 bytes\n");
    let key = keys::public(&folder.join("k.key.pub")).unwrap();
    cellstate(folder, &["sign", &model("lane"), "--key", "k.key", "--version", "3", "-o", "3.cellu"]).unwrap();
    let bytes = std::fs::read(folder.join("i.bin")).unwrap();
    let inputs = Update::read(&folder.join("2.cellu")).unwrap().model().unwrap().inputs();
    // Behind the image is anything.
    for behind in [0xff, 0x00] {
        let layout = Layout::of::<Chip>(0, 8192).unwrap();
        let mut store = ModelStore::new(Chip::with(&bytes, behind), layout, Some(key), Shape::inputs(inputs)).unwrap();
        let mut state = State::<1024>::new();
        assert_eq!(store.boot(&mut InPlace, &mut state).unwrap().version, 2);
        assert_eq!(store.floor(), 2);
        for (file, expected) in [("2.cellu", Err(UpdateError::Downgrade)), ("3.cellu", Ok(()))] {
            let update = std::fs::read(folder.join(file)).unwrap();
            store.begin(update.len() as u32).unwrap();
            assert_eq!(store.write(0, &update), expected);
        }
        assert_eq!(store.finish(&mut InPlace, &mut state), Ok(3));
        assert_eq!(store.boot(&mut InPlace, &mut state).unwrap().version, 3);
    }
}

#[test]
fn images_that_do_not_fit() {
    let folder = signed();
    let update = |slot: &str, erase: &str, words: &[&str]| {
        let image = ["update", "2.cellu", "--image", "i.bin", "--slot", slot, "--erase", erase];
        fails(folder.path(), &image, words);
        assert!(!folder.path().join("i.bin").exists());
    };
    update("2048", "1024", &["i.bin: ", "the update has 2660 bytes, see --slot 2048"]);
    update("8000", "4096", &["multiples of what the flash erases"]);
    update("8192", "0", &["multiples"]);
    fails(folder.path(), &["update", "2.cellu", "--image", "i.bin"], &["--slot", "--erase"]);
    fails(folder.path(), &["update", "2.cellu", "-o", "c.cellu", "--slot", "8192"], &["--image"]);
    let update = Update::read(&folder.path().join("2.cellu")).unwrap();
    assert_eq!(image(&update, 1 << 31, 4096), Err(LayoutError::PastTheEnd));
}

/// `docs/updates.md` shows what these commands print, with another key.
#[test]
fn the_documentation_shows_what_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(model("lane"), folder.path().join("lane.cell")).unwrap();
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/updates.md")).unwrap();
    let key = |text: &str| text.split_whitespace().find(|word| word.len() == 64).map(str::to_owned);
    let (mut shown, mut commands) = (text.lines().peekable(), 0);
    while let Some(line) = shown.next() {
        let Some(command) = line.strip_prefix("$ cellstate ") else { continue };
        let mut expected = String::new();
        while let Some(line) = shown.next_if(|line| !line.starts_with("$ ") && !line.starts_with("```")) {
            expected += line;
            expected.push('\n');
        }
        let said = cellstate(folder.path(), &command.split(' ').collect::<Vec<_>>()).unwrap();
        let said = key(&said).map_or(said.clone(), |found| said.replace(&found, &key(&expected).unwrap()));
        assert_eq!(said, expected, "{command}");
        commands += 1;
    }
    assert_eq!(commands, 4);
}

/// A board on a socket, for so many connections; its program goes on with the model that it began with, restarts or not. Gives the
/// highest version that it had in the end.
fn board(image: &[u8], key: PublicKey, connections: usize) -> (String, JoinHandle<u32>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("tcp:{}", listener.local_addr().unwrap());
    let chip = Chip::with(image, 0xff);
    let serve = move || {
        let blob = std::fs::read(model("lane")).unwrap();
        let words: Vec<u32> = blob.chunks(4).map(|c| u32::from_le_bytes(c.try_into().unwrap())).collect();
        let model = Model::parse(bytemuck::cast_slice(&words)).unwrap();
        let layout = Layout::of::<Chip>(0, 8192).unwrap();
        let mut store = ModelStore::new(chip, layout, Some(key), Shape::inputs(model.inputs())).unwrap();
        let mut state = State::<1024>::new();
        store.boot(&mut InPlace, &mut state).unwrap();
        let mut updates = Updater::<_, _, 1024>::new(store, InPlace);
        let (mut memory, session) = (Memory::<512>::new(), Session::new(&model, &mut state).unwrap());
        let stack = || Stack { used: 0, size: 0 };
        let mut local = Local::new(Device::new(session, &mut memory, Micros::start(), stack, &mut updates));
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = stream.read(&mut bytes) {
                local.send(&bytes[..count]).unwrap();
                let count = local.receive(&mut bytes, Duration::ZERO).unwrap();
                stream.write_all(&bytes[..count]).unwrap();
            }
        }
        updates.store().floor()
    };
    (name, std::thread::spawn(serve))
}

#[test]
fn an_update_is_sent_to_a_board() {
    let folder = signed();
    let folder = folder.path();
    cellstate(folder, &["keygen", "other.key"]).unwrap();
    let lane = model("lane");
    cellstate(folder, &["sign", &lane, "--key", "k.key", "--version", "7", "-o", "7.cellu"]).unwrap();
    cellstate(folder, &["sign", &model("motes"), "--key", "k.key", "--version", "8", "-o", "motes.cellu"]).unwrap();
    cellstate(folder, &["update", "2.cellu", "--image", "i.bin", "--slot", "8192", "--erase", "4096"]).unwrap();
    let image = std::fs::read(folder.join("i.bin")).unwrap();
    let (name, served) = board(&image, keys::public(&folder.join("k.key.pub")).unwrap(), 6);
    let port = ["--port", &name];
    let update = |arguments: &[&str]| cellstate(folder, &[&["update"], arguments, &port[..]].concat());
    let refused = |arguments: &[&str], words: &str| {
        let error = update(arguments).unwrap_err();
        assert!(error.contains(&name) && error.contains(words), "{arguments:?}: {error}");
    };
    refused(&["2.cellu"], "not newer than what the board has");
    refused(&[&lane, "--key", "other.key", "--version", "3"], "not signed with the board's key");
    refused(&[&lane, "--unsigned", "--version", "3"], "must be signed");
    refused(&["motes.cellu"], "does not fit the program");
    let said = update(&["7.cellu", "--restart"]).unwrap();
    assert_eq!(said, format!("{name}: version 7 is in use\n"));
    refused(&["7.cellu"], "the update before this one does not run yet");
    assert_eq!(served.join().unwrap(), 7);
    fails(folder, &["update", "7.cellu", "--port", "tcp:127.0.0.1:1"], &["tcp:127.0.0.1:1: ", "a port is a device"]);
    fails(folder, &["update", "7.cellu", "-o", "c.cellu", "--restart"], &["--port"]);
}

/// A board that runs another model after the restart is told of.
#[test]
fn a_board_that_does_not_run_the_update() {
    let folder = signed();
    let folder = folder.path();
    let mut blob = std::fs::read(model("lane")).unwrap();
    let at = blob.windows(4).position(|bytes| bytes == b"lane").unwrap();
    blob[at] = b'L';
    let crc = cellstate::model::checksum([&blob[..16], &blob[20..]]);
    blob[16..20].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(folder.join("other.cell"), &blob).unwrap();
    cellstate(folder, &["update", "2.cellu", "--image", "i.bin", "--slot", "8192", "--erase", "4096"]).unwrap();
    let image = std::fs::read(folder.join("i.bin")).unwrap();
    let (name, served) = board(&image, keys::public(&folder.join("k.key.pub")).unwrap(), 1);
    let update = ["update", "other.cell", "--key", "k.key", "--version", "3", "--port", &name, "--restart"];
    fails(folder, &update, &["runs another model", "dcbfbfaa", "rolled the update back"]);
    assert_eq!(served.join().unwrap(), 3, "the update was taken all the same");
}
