//! Which certificate authorities are believed: Mozilla's, built in, or those in a file that the
//! environment names.

use crate::{Lookup, variable};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::path::PathBuf;
use std::sync::Arc;

/// Variables that name a PEM file, the first that is set counting: what the AWS SDKs and Tools
/// reference guide defines, then what the Rust SDK's default client reads.
const FILE_VARIABLES: [&str; 2] = ["AWS_CA_BUNDLE", "SSL_CERT_FILE"];

/// The certificate authorities that are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Mozilla's, as of the build.
    BuiltIn,
    /// Those in this file, and no others.
    File { variable: &'static str, path: PathBuf },
}

/// The certificate authorities cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum TrustError {
    #[error("read the certificates in {variable}={path}: {reason}; it must name a PEM file")]
    File { variable: &'static str, path: String, reason: String },
    #[error("set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

impl Trust {
    pub(crate) fn from_lookup(lookup: Lookup) -> Self {
        FILE_VARIABLES
            .into_iter()
            .find_map(|name| Some(Self::File { variable: name, path: variable(lookup, name)?.into() }))
            .unwrap_or(Self::BuiltIn)
    }

    /// A TLS configuration that believes them.
    pub(super) fn tls(&self) -> Result<ClientConfig, TrustError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?)
            .with_no_client_auth();
        Ok(config)
    }

    fn roots(&self) -> Result<RootCertStore, TrustError> {
        let Self::File { variable, path } = self else {
            return Ok(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect());
        };
        let failed = |reason: String| TrustError::File { variable, path: path.display().to_string(), reason };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            // Bundles of whole systems hold some that are not understood; the rest still counts.
            let _ = roots.add(certificate);
        }
        if roots.is_empty() {
            return Err(failed("no usable certificate in it".to_owned()));
        }
        Ok(roots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trust(variables: &[(&str, &str)]) -> Trust {
        Trust::from_lookup(&|name| {
            let (_, value) = variables.iter().find(|(known, _)| *known == name)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn the_environment_can_name_a_file() {
        let file = |variable, path: &str| Trust::File { variable, path: path.into() };
        for (variables, expected) in [
            (&[][..], Trust::BuiltIn),
            (&[("AWS_CA_BUNDLE", "")], Trust::BuiltIn),
            (&[("SSL_CERT_FILE", "b")], file("SSL_CERT_FILE", "b")),
            (&[("SSL_CERT_FILE", "b"), ("AWS_CA_BUNDLE", "a")], file("AWS_CA_BUNDLE", "a")),
        ] {
            assert_eq!(trust(variables), expected);
        }
    }

    #[test]
    fn the_built_in_authorities_make_a_configuration() {
        assert!(Trust::BuiltIn.roots().unwrap().len() > 100);
        Trust::BuiltIn.tls().unwrap();
    }

    #[test]
    fn a_file_without_certificates_is_an_error_that_names_it() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_str().unwrap();
        let error = trust(&[("AWS_CA_BUNDLE", path)]).tls().unwrap_err();
        assert!(error.to_string().starts_with(&format!("read the certificates in AWS_CA_BUNDLE={path}")), "{error}");
        assert!(trust(&[("SSL_CERT_FILE", "/nowhere/at/all")]).tls().is_err());
    }
}
