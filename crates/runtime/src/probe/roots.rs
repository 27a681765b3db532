//! Whom an `https` gate believes: the authorities of this machine, as other programs on it do; built-in ones where it has none.
//!
//! So a certificate of an operator's own authority counts once the machine trusts that authority. A file that is named by
//! `SSL_CERT_FILE` or `NIX_SSL_CERT_FILE` comes first.

use std::path::PathBuf;

use freehold_model::limits;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Where distributions keep the authorities that they trust: Debian, NixOS and Arch; Fedora; openSUSE; Alpine.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// How certificates are checked.
pub(super) fn tls() -> TlsConfig {
    let named = ["SSL_CERT_FILE", "NIX_SSL_CERT_FILE"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let roots = named.chain(BUNDLES.map(PathBuf::from)).find_map(|path| read(&path));
    TlsConfig::builder().root_certs(roots.unwrap_or(RootCerts::WebPki)).build()
}

/// The authorities in a file; `None` when it has none.
fn read(path: &std::path::Path) -> Option<RootCerts> {
    let bytes = fs_err::read(path).ok().filter(|bytes| bytes.len() <= limits::AUTHORITIES_BYTES)?;
    // One that cannot be read is left out, as every TLS library does with a bundle.
    let certificates: Vec<_> = parse_pem(&bytes)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    (!certificates.is_empty()).then(|| certificates.into())
}
