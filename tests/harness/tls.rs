//! Certificates, created by the openssl tool.

use super::{Directory, run};

/// A self-signed certificate and its key, as file names relative to a prefix.
#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// The certificate's file.
    pub(crate) certificate: String,
    /// The key's file.
    pub(crate) key: String,
}

impl Certificate {
    /// Creates a certificate for a host name; `label` names its files.
    pub(crate) fn self_signed(directory: &Directory, label: &str, host: &str) -> Self {
        let this = Self { certificate: format!("{label}.crt"), key: format!("{label}.key") };
        let certificate = directory.join(&this.certificate);
        let key = directory.join(&this.key);
        let names = format!("subjectAltName=DNS:{host}");
        let output = run(
            "openssl",
            &[
                "req",
                "-x509",
                "-nodes",
                "-days",
                "30",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-subj",
                &format!("/CN={host}"),
                "-addext",
                &names,
                "-addext",
                "basicConstraints=critical,CA:TRUE",
                "-out",
                certificate.to_str().unwrap(),
                "-keyout",
                key.to_str().unwrap(),
            ],
        );
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        this
    }
}
