//! The emulator's monitor, QMP: a line of JSON each way.

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;

/// A connection that takes commands.
pub(crate) struct Monitor(BufReader<UnixStream>);

impl Monitor {
    /// Takes the greeting, which asks for one in return.
    pub(crate) fn greet(stream: UnixStream) -> Result<Self> {
        let mut monitor = Self(BufReader::new(stream));
        monitor.line()?;
        monitor.execute("qmp_capabilities", &json!({}))?;
        Ok(monitor)
    }

    /// Sets a property of an object.
    pub(crate) fn set(&mut self, path: &str, property: &str, value: i64) -> Result<()> {
        self.execute("qom-set", &json!({ "path": path, "property": property, "value": value }))
            .with_context(|| format!("{path}: setting {property} to {value}"))
    }

    fn execute(&mut self, command: &str, arguments: &Value) -> Result<()> {
        let line = json!({ "execute": command, "arguments": arguments });
        self.0.get_mut().write_all(format!("{line}\n").as_bytes())?;
        loop {
            // What is neither is an event.
            let answer = self.line()?;
            if let Some(error) = answer.get("error") {
                bail!("the emulator refuses {command}: {error}");
            }
            if answer.get("return").is_some() {
                return Ok(());
            }
        }
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).context("the emulator's monitor does not answer")?;
        serde_json::from_str(&line).context("the emulator's monitor closed")
    }
}
