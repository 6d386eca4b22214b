//! Asks the commands as the door does, and OpenSSL for its opinion of what they made.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

pub const DAY: i64 = 86_400_000;

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The answer of a command that has to succeed.
pub fn ask(command: &Value) -> Value {
    let answer: Value = serde_json::from_str(&portcullis_pki::run(&command.to_string())).unwrap();
    assert!(answer.get("error").is_none(), "{answer}");
    answer
}

/// The message of a command that has to be refused; every refusal says what would do.
pub fn refused(command: &Value) -> String {
    let answer: Value = serde_json::from_str(&portcullis_pki::run(&command.to_string())).unwrap();
    let error = answer.get("error").unwrap_or_else(|| panic!("taken: {answer}"));
    assert!(!error["hint"].as_str().unwrap().is_empty());
    error["message"].as_str().unwrap().to_owned()
}

/// `command` with fields changed; null takes one out.
pub fn with(command: &Value, changes: Value) -> Value {
    let mut command = command.clone();
    for (field, value) in changes.as_object().unwrap() {
        if value.is_null() {
            command.as_object_mut().unwrap().remove(field);
        } else {
            command[field] = value.clone();
        }
    }
    command
}

pub fn authority_command() -> Value {
    json!({
        "command": "create_authority", "subject": { "common_name": "Devices" }, "key_type": "P-256",
        "not_before": now() - 60_000, "not_after": now() + 365 * DAY, "path_length": null,
    })
}

pub fn authority() -> Value {
    ask(&authority_command())
}

/// Certificate and key of an answer.
pub fn signer(created: &Value) -> Value {
    json!({ "certificate": created["certificate"], "key": created["key"] })
}

pub fn leaf_command(authority: &Value) -> Value {
    json!({
        "command": "issue", "issuer": signer(authority), "key_type": "P-256",
        "subject": { "common_name": "sensor-1" }, "dns": ["sensor-1.example.com"],
        "not_before": now() - 60_000, "not_after": now() + 90 * DAY, "eku": ["clientAuth"],
    })
}

pub fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD.decode(base64.as_str().unwrap()).unwrap()
}

pub fn base64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

/// DER of the first section.
pub fn der(pem: &Value) -> Vec<u8> {
    let text = pem.as_str().unwrap();
    let body: String = text.lines().skip(1).take_while(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).unwrap()
}

/// A folder for openssl, gone with the value. None where openssl is absent; in CI that is a failure.
pub struct Openssl {
    folder: PathBuf,
}

impl Openssl {
    pub fn new() -> Option<Openssl> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        if Command::new("openssl").arg("version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "openssl is missing on this machine: .ci/run has to install it");
            println!("skipped: openssl is not installed");
            return None;
        }
        let name = format!("portcullis-pki-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).unwrap();
        Some(Openssl { folder })
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        fs::write(self.folder.join(name), content).unwrap();
    }

    pub fn write_text(&self, name: &str, text: &Value) {
        self.write(name, text.as_str().unwrap());
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.folder.join(name)).unwrap()
    }

    pub fn read_text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// Standard output and error of `openssl ...`, words split at spaces; it has to succeed.
    pub fn run(&self, arguments: &str) -> String {
        let (ok, text) = self.tried(arguments);
        assert!(ok, "openssl {arguments}\n{text}");
        text
    }

    pub fn fails(&self, arguments: &str) -> String {
        let (ok, text) = self.tried(arguments);
        assert!(!ok, "openssl {arguments}\n{text}");
        text
    }

    fn tried(&self, arguments: &str) -> (bool, String) {
        let words = arguments.split(' ').filter(|word| !word.is_empty());
        let output = Command::new("openssl").args(words).current_dir(&self.folder).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&text).into_owned())
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
