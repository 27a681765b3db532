//! Looks for tokens of secrets in what a declaration would put into the Nix store.

use std::collections::HashSet;

use freehold_model::{Declaration, ProviderRef};

use crate::secrets::Tokens;

/// Files of the store larger than this are not read: what Nix code writes there itself is small.
const LARGEST_FILE: u64 = 16 * 1024 * 1024;

/// What has been looked at and found clean. Store paths never change, so that is for good.
#[derive(Debug)]
pub(crate) struct Scan {
    token: Vec<u8>,
    clean: HashSet<String>,
}

impl Scan {
    pub(crate) fn new(token: &str) -> Self {
        Self { token: token.as_bytes().to_vec(), clean: HashSet::new() }
    }

    /// The first derivation or file that holds a token.
    pub(crate) fn leak(&mut self, declaration: &Declaration, tokens: &Tokens) -> Option<String> {
        if tokens.is_empty() {
            return None;
        }
        let provider = match &declaration.provider {
            ProviderRef::Stdio { context, .. } => Some(context),
            ProviderRef::Builtin { .. } => None,
        };
        let operations = declaration.operations.values().map(|operation| &operation.context);
        let contexts = std::iter::once(&declaration.context).chain(provider).chain(operations).flatten();
        let mut paths: Vec<String> =
            contexts.map(|path| path.split_once('!').map_or(path.as_str(), |(drv, _)| drv).to_owned()).collect();
        while let Some(path) = paths.pop() {
            if self.clean.contains(&path) {
                continue;
            }
            let small_file =
                fs_err::symlink_metadata(&path).is_ok_and(|meta| meta.is_file() && meta.len() <= LARGEST_FILE);
            let bytes = if small_file { fs_err::read(&path).unwrap_or_default() } else { Vec::new() };
            if contains(path.as_bytes(), &self.token) || contains(&bytes, &self.token) {
                return Some(path);
            }
            if path.ends_with(".drv") {
                paths.extend(references(&path, &bytes));
            }
            self.clean.insert(path);
        }
        None
    }
}

/// Store paths that a derivation's file quotes: its inputs, and its own outputs (which do not exist yet and do no harm).
fn references(drv: &str, bytes: &[u8]) -> Vec<String> {
    let store = drv.rsplit_once('/').map(|(store, _)| format!("\"{store}/")).unwrap_or_default();
    let text = String::from_utf8_lossy(bytes);
    let quoted = text
        .match_indices(&store)
        .filter_map(|(at, _)| text[at + 1..].split_once('"').map(|(path, _)| path.to_owned()));
    quoted.collect()
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}
