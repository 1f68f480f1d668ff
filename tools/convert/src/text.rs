//! Text for models whose samples and outputs are symbols: the labels of the first output, one a symbol.
//!
//! A label is the symbol's text. Where it has a character that no line can hold, or that nobody would see, it is written with an
//! escape: `\n` a line break, `\r` a carriage return, `\t` a tab, `\s` a space, `\\` a backslash. Any other backslash is itself.

use cellstate::Model;
use cellstate::model::layer::{Layer, More};
use serde::Deserialize;

/// The symbols of a model, by their indices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vocabulary {
    symbols: Vec<String>,
}

/// A label as the text that it stands for.
fn unescaped(label: &str) -> String {
    let mut text = String::new();
    let mut rest = label.chars();
    while let Some(c) = rest.next() {
        let escaped = match (c, rest.clone().next()) {
            ('\\', Some('n')) => '\n',
            ('\\', Some('r')) => '\r',
            ('\\', Some('t')) => '\t',
            ('\\', Some('s')) => ' ',
            ('\\', Some('\\')) => '\\',
            _ => {
                text.push(c);
                continue;
            }
        };
        text.push(escaped);
        rest.next();
    }
    text
}

/// A label as a line can hold it.
pub fn escaped(label: &str) -> String {
    label.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

/// A text with an index for each of its symbols, or a sentence that says which character has none.
type Indices = Result<Vec<u16>, String>;

fn unknown(character: char, position: usize) -> String {
    format!("{character:?}, character {position} of the text, is not in the vocabulary")
}

impl Vocabulary {
    /// The labels of the model's first output.
    ///
    /// # Errors
    /// A sentence if it does not have one each.
    pub fn new(model: &Model) -> Result<Self, String> {
        let symbols = (0..model.outputs()).map(|k| model.label(k).map(unescaped)).collect::<Option<_>>();
        let symbols = symbols.ok_or(
            "the model has no labels, so its outputs are no text; convert it with labels in model.toml, one symbol each",
        )?;
        Ok(Self { symbols })
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.symbols.len()
    }

    /// Whether there are none; never so for a parsed model.
    pub fn is_empty(&self) -> bool {
        self.symbols.is_empty()
    }

    /// The text of symbol `k`; nothing where there is none.
    pub fn symbol(&self, k: u16) -> &str {
        self.symbols.get(usize::from(k)).map_or("", String::as_str)
    }

    /// The index of the symbol of this text, which may have escapes.
    ///
    /// # Errors
    /// A sentence if there is none.
    pub fn index(&self, name: &str) -> Result<u16, String> {
        let text = unescaped(name);
        let found = self.symbols.iter().position(|s| *s == text);
        found.map(|k| k as u16).ok_or_else(|| format!("{name:?} is no symbol of the model, which has {}", self.shown()))
    }

    /// A text as symbols, at each place the longest that fits.
    ///
    /// # Errors
    /// A sentence that names the first character that begins no symbol, with its place counted from 1.
    pub fn encode(&self, text: &str) -> Indices {
        let (mut indices, mut rest, mut position) = (Vec::new(), text, 1);
        while let Some(character) = rest.chars().next() {
            let fits = self.symbols.iter().enumerate().filter(|(_, s)| !s.is_empty() && rest.starts_with(s.as_str()));
            // Of equals the first.
            let longest = fits.rev().max_by_key(|(_, s)| s.len());
            let Some((k, symbol)) = longest else {
                return Err(format!("{}, which has {}", unknown(character, position), self.shown()));
            };
            indices.push(k as u16);
            position += symbol.chars().count();
            rest = &rest[symbol.len()..];
        }
        Ok(indices)
    }

    /// Symbols as text.
    pub fn decode(&self, indices: &[u16]) -> String {
        indices.iter().map(|&k| self.symbol(k)).collect()
    }

    fn shown(&self) -> String {
        const MOST: usize = 100;
        let some: Vec<String> = self.symbols.iter().take(MOST).map(|s| escaped(s).replace(' ', r"\s")).collect();
        let more = if self.symbols.len() > MOST { " and more" } else { "" };
        format!("{}{more}", some.join(" "))
    }
}

/// What an encoder reads, where that is not what the model writes: a JSON object with `letters`, a text of all letters in the
/// order of their indices, and `first`, the index of the first one. A letter that is not among them is index 0, if `first` is
/// not.
#[derive(Clone, Debug, Deserialize)]
pub struct Letters {
    first: u16,
    letters: String,
}

impl Letters {
    /// From the JSON.
    ///
    /// # Errors
    /// A sentence if it is something else.
    pub fn parse(json: &str) -> Result<Self, String> {
        serde_json::from_str(json).map_err(|e| format!("{e}; give {{\"first\": 1, \"letters\": \"abc\"}}"))
    }

    /// A text as indices.
    ///
    /// # Errors
    /// A sentence that names a character that has none.
    pub fn encode(&self, text: &str) -> Indices {
        let index = |(k, c): (usize, char)| match self.letters.chars().position(|l| l == c) {
            Some(at) => u16::try_from(at + usize::from(self.first)).map_err(|e| e.to_string()),
            None if self.first > 0 => Ok(0),
            None => Err(unknown(c, k + 1)),
        };
        text.chars().enumerate().map(index).collect()
    }
}

/// How many symbols a stream knows whose samples are one index each.
///
/// # Errors
/// A sentence if they are something else.
pub fn symbols_of(model: &Model, stream: usize) -> Result<usize, String> {
    let header = model.header();
    if header.is_windowed() {
        return Err(format!(
            "the model runs over windows of {} samples; symbols follow each other in a model that streams",
            header.window
        ));
    }
    let other = || format!("the model's input{} is not the index of a symbol", name(model, stream));
    if stream >= model.streams() || header.stream_width(stream) != 1 {
        return Err(format!("{}: it has {} features", other(), header.stream_width(stream)));
    }
    let source = (256 - stream) as u8; // of stream 0 it is 0
    let takers = header.nodes.iter().filter(|n| n.from == source || n.layer.second() == Some(source));
    let rows = takers.map(|n| match n.layer {
        Layer::More(More::Embedding { rows, .. }) => Ok(usize::from(rows)),
        _ => Err(format!("{}: the layer behind it is no embedding", other())),
    });
    rows.collect::<Result<Vec<_>, _>>()?.into_iter().min().ok_or_else(other)
}

fn name(model: &Model, stream: usize) -> String {
    if model.streams() > 1 { format!(" stream {stream}") } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vocabulary(labels: &[&str]) -> Vocabulary {
        Vocabulary { symbols: labels.iter().map(|l| unescaped(l)).collect() }
    }

    #[test]
    fn labels_stand_for_text() {
        let labels = ["a", r"\n", r"\s", r"\t", r"\\", r"\", r"\x", "th", r"a\nb"];
        assert_eq!(labels.map(unescaped), ["a", "\n", " ", "\t", "\\", "\\", "\\x", "th", "a\nb"]);
        assert_eq!(["\n", "a", "\r\n"].map(escaped), [r"\n", "a", r"\r\n"]);
    }

    #[test]
    fn text_becomes_symbols_and_text_again() {
        let v = vocabulary(&["a", "t", "th", r"\n", " ", "é", "end"]);
        let indices = v.encode("that\n é").unwrap();
        assert_eq!(indices, [2, 0, 1, 3, 4, 5]);
        assert_eq!(v.decode(&indices), "that\n é");
        assert_eq!((v.index("end"), v.index(r"\n")), (Ok(6), Ok(3)));
        assert_eq!(v.encode(""), Ok(Vec::new()));
    }

    #[test]
    fn what_is_unknown_is_named_with_its_place() {
        let v = vocabulary(&["a", "th", "é"]);
        let error = v.encode("théx").unwrap_err();
        assert!(error.starts_with("'x', character 4 of the text, is not in the vocabulary"), "{error}");
        assert!(error.ends_with("which has a th é"), "{error}");
        assert!(v.index("begin").unwrap_err().contains("\"begin\" is no symbol"));
    }

    #[test]
    fn an_encoder_has_letters_of_its_own() {
        let letters = Letters::parse(r#"{"first": 1, "letters": " abü"}"#).unwrap();
        assert_eq!(letters.encode("ab ü!"), Ok(vec![2, 3, 1, 4, 0]));
        let letters = Letters::parse(r#"{"first": 0, "letters": "ab"}"#).unwrap();
        assert_eq!(letters.encode("ba"), Ok(vec![1, 0]));
        assert!(letters.encode("ac").unwrap_err().starts_with("'c', character 2"));
        assert!(Letters::parse("[]").is_err());
    }
}
