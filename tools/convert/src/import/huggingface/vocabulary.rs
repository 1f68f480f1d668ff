//! Names of tokens, for models whose tokens are characters.

use crate::error::{Error, Result};
use crate::text::escaped;
use serde_json::Value;
use std::path::Path;

/// The characters of the tokens in `vocab.json` or `tokenizer.json`, if there is one and each token is a character or one of
/// the tokenizer's own, such as `<|endoftext|>`; otherwise none. Line breaks and tabs are written as `\n`, `\r` and `\t`.
pub(super) fn labels(folder: &Path, tokens: usize) -> Result<Vec<String>> {
    let mut names = vec![None; tokens];
    let (file, more) = (folder.join("vocab.json"), folder.join("tokenizer.json"));
    let path = if file.exists() { file } else { more };
    if !path.exists() {
        return Ok(Vec::new());
    }
    let bytes = crate::error::read(&path)?;
    let value: Value = serde_json::from_slice(&bytes).map_err(|e| Error::new(&path, e, "save the tokenizer again"))?;
    let vocabulary = value["model"]["vocab"].as_object().or_else(|| value.as_object());
    let mut added = Vec::new();
    for token in value["added_tokens"].as_array().into_iter().flatten() {
        added.extend(token["content"].as_str().zip(token["id"].as_u64()));
    }
    let listed = vocabulary.into_iter().flatten().filter_map(|(name, id)| Some((name.as_str(), id.as_u64()?)));
    let listed: Vec<(&str, u64)> = listed.collect();
    // Byte-level tokenizers write a space as U+0120.
    let bytes = listed.iter().any(|(name, _)| *name == "\u{120}") && listed.iter().all(|(name, _)| *name != " ");
    for &(name, id) in listed.iter().chain(&added) {
        let own = added.iter().any(|a| a.0 == name) || (name.starts_with('<') && name.ends_with('>'));
        let Some(place) = usize::try_from(id).ok().and_then(|id| names.get_mut(id)) else { return Ok(Vec::new()) };
        let mut characters = name.chars();
        *place = match (characters.next(), characters.next()) {
            (Some(one), None) => Some(escaped(&(if bytes { plain(one) } else { one }).to_string())),
            _ if own && !name.contains(char::is_control) => Some(name.to_owned()),
            _ => return Ok(Vec::new()),
        };
    }
    Ok(names.into_iter().collect::<Option<Vec<String>>>().unwrap_or_default())
}

/// The character that a byte-level tokenizer writes as another: controls, the space and the delete.
fn plain(c: char) -> char {
    match u32::from(c) {
        code @ 0x100..=0x120 => char::from((code - 0x100) as u8),
        0x121 => '\u{7f}',
        _ => c,
    }
}
