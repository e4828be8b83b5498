//! Signed requests: JSON Web Signatures (RFC 7515) as ACME has them (RFC 8555 section 6.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use weir_engine::digest::sha256;
use weir_engine::tls::{PrivateKey, PublicNumbers, hmac_sha256};

use crate::error::AcmeError;

/// The account's key, with its public half as JSON.
#[derive(Clone, Debug)]
pub(crate) struct AccountKey {
    key: PrivateKey,
    jwk: Value,
    thumbprint: String,
}

/// Base64url without padding.
pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn unusable(error: impl std::fmt::Display) -> AcmeError {
    AcmeError::of_issuer(format!("the account's key cannot be used: {error}"))
}

impl AccountKey {
    pub(crate) fn new(key: PrivateKey) -> Result<Self, AcmeError> {
        // The members are in the order of RFC 7638 section 3.2, which the thumbprint needs.
        let jwk = match key.public_numbers().map_err(unusable)? {
            PublicNumbers::Ec(curve, x, y) => {
                json!({ "crv": curve, "kty": "EC", "x": encode(x), "y": encode(y) })
            }
            PublicNumbers::Rsa(n, e) => json!({ "e": encode(e), "kty": "RSA", "n": encode(n) }),
        };
        let thumbprint = encode(sha256(&[jwk.to_string().as_bytes()]));
        Ok(Self { key, jwk, thumbprint })
    }

    pub(crate) fn private(&self) -> &PrivateKey {
        &self.key
    }

    /// The hash of the public half (RFC 7638), in base64url.
    pub(crate) fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// The key authorization of a token (RFC 8555 section 8.1).
    pub(crate) fn authorization(&self, token: &str) -> String {
        format!("{token}.{}", self.thumbprint)
    }

    /// Signs a request to `url`. `account` is the account's URL; without it, the request has the
    /// key itself. An empty payload asks for a resource.
    pub(crate) fn sign(
        &self,
        url: &str,
        nonce: &str,
        account: Option<&str>,
        payload: &str,
    ) -> Result<String, AcmeError> {
        let algorithm = self.key.kind().jws_algorithm();
        let head = match account {
            Some(account) => {
                json!({ "alg": algorithm, "kid": account, "nonce": nonce, "url": url })
            }
            None => json!({ "alg": algorithm, "jwk": self.jwk, "nonce": nonce, "url": url }),
        };
        let (head, payload) = (encode(head.to_string()), encode(payload));
        let signature = self.key.sign_jws(format!("{head}.{payload}").as_bytes());
        Ok(flattened(head, payload, &signature.map_err(unusable)?).to_string())
    }

    /// The proof of an account that exists elsewhere (RFC 8555 section 7.3.4).
    pub(crate) fn bind(&self, url: &str, id: &str, secret: &[u8]) -> Value {
        let head = encode(json!({ "alg": "HS256", "kid": id, "url": url }).to_string());
        let payload = encode(self.jwk.to_string());
        let signature = hmac_sha256(secret, format!("{head}.{payload}").as_bytes());
        flattened(head, payload, &signature)
    }
}

fn flattened(head: String, payload: String, signature: &[u8]) -> Value {
    json!({ "protected": head, "payload": payload, "signature": encode(signature) })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7638 section 3.1.
    #[test]
    fn thumbprints_are_those_of_the_rfc() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1\
                 L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4\
                 QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbO\
                 pbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csF\
                 Cur-kEgU8awapJzKnqDKgw";
        let jwk = json!({ "e": "AQAB", "kty": "RSA", "n": n });
        let thumbprint = encode(sha256(&[jwk.to_string().as_bytes()]));
        assert_eq!(thumbprint, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_request_names_the_account_or_has_its_key() {
        let key = AccountKey::new(PrivateKey::generate(Default::default()).unwrap()).unwrap();
        let head = |account| {
            let signed = key.sign("https://a/x", "n", account, "").unwrap();
            let signed: Value = serde_json::from_str(&signed).unwrap();
            assert_eq!(signed["payload"], "");
            let head = URL_SAFE_NO_PAD.decode(signed["protected"].as_str().unwrap()).unwrap();
            serde_json::from_slice::<Value>(&head).unwrap()
        };
        assert_eq!(head(Some("https://a/1"))["kid"], "https://a/1");
        assert_eq!(head(None)["jwk"]["crv"], "P-256");
        assert_eq!(head(None)["alg"], "ES256");
    }
}
