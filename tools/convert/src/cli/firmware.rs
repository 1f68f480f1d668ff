//! Finding the firmware of emulated boards.

use std::path::{Path, PathBuf};

/// The firmware that is given, or what `command` has built for the board in this folder or one above it.
pub(super) fn find(given: Option<&Path>, board: &str, built: &Path, command: &str) -> Result<PathBuf, String> {
    if let Some(elf) = given {
        let missing = || format!("{}: no such file; `{command}` builds {}", elf.display(), built.display());
        return elf.is_file().then(|| elf.to_owned()).ok_or_else(missing);
    }
    let here = std::env::current_dir().map_err(|e| format!("the current folder: {e}"))?;
    here.ancestors().map(|folder| folder.join(built)).find(|elf| elf.is_file()).ok_or_else(|| {
        format!(
            "{}: neither here nor in a folder above; run `{command} --board {board}` in cellstate's \
             repository and this there, or give --firmware ELF",
            built.display()
        )
    })
}
