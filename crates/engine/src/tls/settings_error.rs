//! Faults of TLS settings.

use std::fmt;

/// TLS settings, certificates or keys that cannot be used: the fault of the configuration or of its
/// files, in OpenSSL's words where it has any.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError(String);

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<String> for SettingsError {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<&str> for SettingsError {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<SettingsError> for String {
    fn from(error: SettingsError) -> Self {
        error.0
    }
}
