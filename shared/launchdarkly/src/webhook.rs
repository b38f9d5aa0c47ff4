//! Who sent a webhook: LaunchDarkly's signature over the body.
//!
//! The first room that a webhook's body enters, and the only one that sees it before it is
//! trusted: works on the raw bytes, never on parsed JSON, and knows neither HTTP nor where the
//! secret comes from. What the body says is read in [`crate::audit_log`], afterwards.
//!
//! Format: <https://launchdarkly.com/docs/home/infrastructure/webhooks>, "Sign a webhook".

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use thiserror::Error;

/// The header that carries the signature; HTTP header names are compared without regard to case.
pub const SIGNATURE_HEADER: &str = "X-LD-Signature";

/// Length of a signature in characters: 32 bytes in hex.
const SIGNATURE_LENGTH: usize = 64;

/// Why a webhook's signature was refused. Carries nothing of the secret, the body or the value
/// that was sent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// No signature header, or an empty one.
    #[error("verify the webhook's signature: no {SIGNATURE_HEADER} header (is signing switched on for this webhook?)")]
    Missing,
    /// More than one value, be it in several headers or joined by a comma.
    #[error("verify the webhook's signature: more than one {SIGNATURE_HEADER}, expected exactly one")]
    Ambiguous,
    /// Not the length of a hex HMAC-SHA256.
    #[error("verify the webhook's signature: {SIGNATURE_HEADER} has {length} characters, expected {SIGNATURE_LENGTH}")]
    WrongLength {
        /// Length of what was sent, in characters, without the blanks around it.
        length: usize,
    },
    /// Of the right length, but with characters that are no hex digits.
    #[error("verify the webhook's signature: {SIGNATURE_HEADER} is not hex (0-9, a-f)")]
    NotHex,
    /// Well formed, but made with another secret or over another body.
    #[error(
        "verify the webhook's signature: {SIGNATURE_HEADER} does not match the body (is it the secret of this webhook?)"
    )]
    Mismatch,
}

/// Checks that `body` was signed with `secret`, in constant time.
///
/// `signatures` are the values of all [`SIGNATURE_HEADER`] headers of the request: exactly one is
/// accepted, in lower- or upper-case hex, blanks around it ignored. `body` is the request's raw
/// body, after base64 decoding where the event says that it is encoded.
///
/// An empty secret signs and verifies like any other: refusing one is up to who reads the
/// configuration.
pub fn verify(secret: &SecretString, body: &[u8], signatures: &[&str]) -> Result<(), SignatureError> {
    let signature = match signatures {
        [] => return Err(SignatureError::Missing),
        [signature] => signature.trim_ascii(),
        _ => return Err(SignatureError::Ambiguous),
    };
    if signature.is_empty() {
        return Err(SignatureError::Missing);
    }
    if signature.contains(',') {
        return Err(SignatureError::Ambiguous);
    }
    let length = signature.chars().count();
    if length != SIGNATURE_LENGTH {
        return Err(SignatureError::WrongLength { length });
    }
    let signature = hex::decode(signature).map_err(|_| SignatureError::NotHex)?;
    hmac(secret, body).verify_slice(&signature).map_err(|_| SignatureError::Mismatch)
}

/// The signature that LaunchDarkly sends for `body`, in lower-case hex.
pub fn sign(secret: &SecretString, body: &[u8]) -> String {
    hex::encode(hmac(secret, body).finalize().into_bytes())
}

fn hmac(secret: &SecretString, body: &[u8]) -> Hmac<Sha256> {
    #[expect(clippy::expect_used, reason = "HMAC takes keys of any length (RFC 2104 §2); the error is for other MACs")]
    Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes())
        .expect("HMAC takes keys of any length")
        .chain_update(body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BODY: &[u8] = br#"{"kind":"flag"}"#;

    fn secret() -> SecretString {
        SecretString::from("for tests only")
    }

    #[test]
    fn agrees_with_the_published_vectors() {
        // RFC 4231 §4.3.
        assert_eq!(
            sign(&SecretString::from("Jefe"), b"what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        // RFC 4231 §4.2: the byte 0b twenty times over is text too.
        assert_eq!(
            sign(&SecretString::from("\u{0b}".repeat(20)), b"Hi There"),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn accepts_one_signature_in_any_case_with_blanks_around() {
        let signature = sign(&secret(), BODY);
        for value in [
            signature.clone(),
            signature.to_uppercase(),
            format!("  {signature}\t"),
            format!("{}\r\n", signature.to_uppercase()),
        ] {
            assert_eq!(verify(&secret(), BODY, &[&value]), Ok(()), "{value:?}");
        }
    }

    #[test]
    fn refuses_everything_else_and_says_why() {
        let good = sign(&secret(), BODY);
        let joined = format!("{good},{good}");
        let cases: &[(&str, &[&str], SignatureError)] = &[
            ("no header", &[], SignatureError::Missing),
            ("empty", &[""], SignatureError::Missing),
            ("blank", &["  \t"], SignatureError::Missing),
            ("two headers", &[&good, &good], SignatureError::Ambiguous),
            ("joined", &[&joined], SignatureError::Ambiguous),
            ("odd", &[&good[1..]], SignatureError::WrongLength { length: 63 }),
            ("short", &["ab"], SignatureError::WrongLength { length: 2 }),
            ("prefixed", &[&format!("sha256={good}")], SignatureError::WrongLength { length: 71 }),
            ("not hex", &[&"g".repeat(64)], SignatureError::NotHex),
            ("not ASCII", &[&"é".repeat(64)], SignatureError::NotHex),
            ("inner blank", &[&good.replacen(&good[3..4], " ", 1)], SignatureError::NotHex),
            ("zeros", &[&"0".repeat(64)], SignatureError::Mismatch),
            ("another secret", &[&sign(&SecretString::from("another"), BODY)], SignatureError::Mismatch),
            ("another body", &[&sign(&secret(), b"{}")], SignatureError::Mismatch),
        ];
        for (name, signatures, expected) in cases {
            assert_eq!(verify(&secret(), BODY, signatures).as_ref(), Err(expected), "{name}");
        }
    }

    #[test]
    fn says_what_was_sent_and_what_was_expected() {
        assert_eq!(
            SignatureError::WrongLength { length: 63 }.to_string(),
            "verify the webhook's signature: X-LD-Signature has 63 characters, expected 64"
        );
    }

    proptest! {
        #[test]
        fn any_body_signed_with_any_secret_verifies(
            secret in ".*",
            body in proptest::collection::vec(any::<u8>(), 0..512),
        ) {
            let secret = SecretString::from(secret);
            let signature = sign(&secret, &body);
            prop_assert_eq!(verify(&secret, &body, &[&signature]), Ok(()));
            prop_assert_eq!(verify(&secret, &body, &[&signature.to_uppercase()]), Ok(()));
        }

        #[test]
        fn one_bit_changed_does_not_verify(
            mut body in proptest::collection::vec(any::<u8>(), 1..512),
            at in any::<proptest::sample::Index>(),
            bit in 0..8_u8,
        ) {
            let signature = sign(&secret(), &body);
            let at = at.index(body.len());
            body[at] ^= 1 << bit;
            prop_assert_eq!(
                verify(&secret(), &body, &[&signature]),
                Err(SignatureError::Mismatch)
            );
        }

        #[test]
        fn no_header_makes_it_panic(values in proptest::collection::vec(".*", 0..3)) {
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            prop_assert!(verify(&secret(), BODY, &values).is_err());
        }
    }
}
