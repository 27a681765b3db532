//! Narinfos: what a cache says of one store path, read strictly and written in Nix's own order.

use std::collections::BTreeSet;

use freehold_model::limits;

use crate::error::{NarError, shown};
use crate::hash::Sha256;
use crate::keys::{PublicKey, SecretKey, TrustedKeys};
use crate::path::StorePath;

/// How a NAR's file is compressed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
    /// bzip2: what a narinfo without the line means.
    Bzip2,
    /// Another one of Nix's (`gzip`, `br`, `lz4`, …), by its name.
    Other(String),
}

/// What a cache says of a store path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NarInfo {
    /// The path.
    pub path: StorePath,
    /// Where its NAR lies, relative to the cache.
    pub url: String,
    /// How the NAR's file is compressed.
    pub compression: Compression,
    /// Hash of the NAR's file.
    pub file_hash: Option<Sha256>,
    /// Size of the NAR's file in bytes.
    pub file_size: Option<u64>,
    /// Hash of the NAR.
    pub nar_hash: Sha256,
    /// Size of the NAR in bytes, never 0.
    pub nar_size: u64,
    /// What it refers to, possibly itself; sorted, each once.
    pub references: BTreeSet<StorePath>,
    /// Base name of the derivation that made it.
    pub deriver: Option<String>,
    /// Signatures, `name:base64`.
    pub signatures: Vec<String>,
    /// How it is addressed by its content, in Nix's words.
    pub ca: Option<String>,
}

impl Compression {
    /// Its name in a narinfo.
    pub fn as_str(&self) -> &str {
        match self {
            Self::None => "none",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Bzip2 => "bzip2",
            Self::Other(name) => name,
        }
    }

    /// What Nix puts behind `.nar` in the name of a file.
    pub fn suffix(&self) -> &str {
        match self {
            Self::Zstd => ".zst",
            Self::Xz => ".xz",
            Self::Bzip2 => ".bz2",
            Self::None | Self::Other(_) => "",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "none" => Self::None,
            "zstd" => Self::Zstd,
            "xz" => Self::Xz,
            "" | "bzip2" => Self::Bzip2,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl NarInfo {
    /// Where the narinfo of a path lies in a cache.
    pub fn key_of(path: &StorePath) -> String {
        format!("{}.narinfo", path.hash_part())
    }

    /// Reads a narinfo. Keys that are not known are ignored, as Nix does.
    ///
    /// # Errors
    /// What Nix would refuse, and more: anything but `Key: value` lines that end, a key twice, no path, NAR or hash, a NAR that is
    /// not relative to the cache, more than [`limits::NARINFO_BYTES`].
    pub fn parse(bytes: &[u8]) -> Result<Self, NarError> {
        let fields = Fields::read(bytes)?;
        let path = StorePath::parse(fields.needed("StorePath", fields.path)?)?;
        let url = fields.needed("URL", fields.url)?;
        if !is_relative(url) {
            return Err(bad(format!("URL `{}` is not relative to the cache", shown(url))));
        }
        let nar_size = number("NarSize", fields.needed("NarSize", fields.nar_size)?)?;
        if nar_size == 0 {
            return Err(bad("NarSize is 0"));
        }
        let mut references = BTreeSet::new();
        for reference in fields.references.unwrap_or_default().split(' ').filter(|name| !name.is_empty()) {
            references.insert(path.sibling(reference)?);
        }
        let deriver = fields.deriver.filter(|name| !["", "unknown-deriver"].contains(name));
        if let Some(name) = deriver {
            path.sibling(name)?;
        }
        Ok(Self {
            url: url.to_owned(),
            compression: Compression::parse(fields.compression.unwrap_or_default()),
            file_hash: fields.file_hash.map(Sha256::parse).transpose()?,
            file_size: fields.file_size.map(|text| number("FileSize", text)).transpose()?,
            nar_hash: Sha256::parse(fields.needed("NarHash", fields.nar_hash)?)?,
            nar_size,
            references,
            deriver: deriver.map(str::to_owned),
            signatures: fields.signatures.iter().map(|text| (*text).to_owned()).collect(),
            ca: fields.ca.filter(|text| !text.is_empty()).map(str::to_owned),
            path,
        })
    }

    /// Writes it as Nix does.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut line = |key: &str, value: &str| {
            text.push_str(key);
            text.push_str(": ");
            text.push_str(value);
            text.push('\n');
        };
        line("StorePath", self.path.as_str());
        line("URL", &self.url);
        line("Compression", self.compression.as_str());
        if let Some(hash) = self.file_hash {
            line("FileHash", &hash.to_string());
        }
        if let Some(size) = self.file_size {
            line("FileSize", &size.to_string());
        }
        line("NarHash", &self.nar_hash.to_string());
        line("NarSize", &self.nar_size.to_string());
        line("References", &self.references.iter().map(StorePath::base_name).collect::<Vec<_>>().join(" "));
        if let Some(deriver) = &self.deriver {
            line("Deriver", deriver);
        }
        for signature in &self.signatures {
            line("Sig", signature);
        }
        if let Some(ca) = &self.ca {
            line("CA", ca);
        }
        text
    }

    /// What is signed: path, hash and size of the NAR, references. The NAR's file is not, so it may be compressed anew.
    pub fn fingerprint(&self) -> String {
        let references: Vec<&str> = self.references.iter().map(StorePath::as_str).collect();
        format!("1;{};{};{};{}", self.path, self.nar_hash, self.nar_size, references.join(","))
    }

    /// Adds the key's signature, in place of an older one under its name.
    pub fn sign(&mut self, key: &SecretKey) {
        let own = format!("{}:", key.name());
        self.signatures.retain(|signature| !signature.starts_with(&own));
        self.signatures.push(key.sign(self.fingerprint().as_bytes()));
    }

    /// The first trusted key that signed it; `None` when none did.
    pub fn signer<'a>(&self, trusted: &'a TrustedKeys) -> Option<&'a PublicKey> {
        trusted.signer(self.fingerprint().as_bytes(), &self.signatures)
    }

    /// Where its narinfo lies in a cache.
    pub fn key(&self) -> String {
        Self::key_of(&self.path)
    }
}

/// The lines of a narinfo, each at most once.
#[derive(Default)]
struct Fields<'a> {
    path: Option<&'a str>,
    url: Option<&'a str>,
    compression: Option<&'a str>,
    file_hash: Option<&'a str>,
    file_size: Option<&'a str>,
    nar_hash: Option<&'a str>,
    nar_size: Option<&'a str>,
    references: Option<&'a str>,
    deriver: Option<&'a str>,
    ca: Option<&'a str>,
    signatures: Vec<&'a str>,
}

impl<'a> Fields<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, NarError> {
        if bytes.len() > limits::NARINFO_BYTES {
            return Err(bad(format!("it has more than {} bytes", limits::NARINFO_BYTES)));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| bad("it is not UTF-8"))?;
        let text = text.strip_suffix('\n').ok_or_else(|| bad("its last line does not end"))?;
        let mut fields = Self::default();
        for line in text.split('\n') {
            // Nix writes `References: ` with a blank at its end; some proxies cut it.
            let (key, value) = line
                .split_once(": ")
                .or_else(|| Some((line.strip_suffix(':')?, "")))
                .ok_or_else(|| bad(format!("`{}` is no line `Key: value`", shown(line))))?;
            if value.contains(char::is_control) {
                return Err(bad(format!("the value of {} has a control character", shown(key))));
            }
            let slot = match key {
                "StorePath" => &mut fields.path,
                "URL" => &mut fields.url,
                "Compression" => &mut fields.compression,
                "FileHash" => &mut fields.file_hash,
                "FileSize" => &mut fields.file_size,
                "NarHash" => &mut fields.nar_hash,
                "NarSize" => &mut fields.nar_size,
                "References" => &mut fields.references,
                "Deriver" => &mut fields.deriver,
                "CA" => &mut fields.ca,
                "Sig" => {
                    fields.signatures.push(value);
                    continue;
                }
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(bad(format!("{key} is there twice")));
            }
        }
        Ok(fields)
    }

    fn needed(&self, key: &str, value: Option<&'a str>) -> Result<&'a str, NarError> {
        value.ok_or_else(|| bad(format!("{key} is missing")))
    }
}

fn number(key: &str, text: &str) -> Result<u64, NarError> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let value = digits.then(|| text.parse().ok()).flatten();
    value.ok_or_else(|| bad(format!("{key} `{}` is no number", shown(text))))
}

/// A path below the cache: no scheme, no way up or out, nothing that would be taken for a query.
fn is_relative(url: &str) -> bool {
    let fine = |c: char| c.is_ascii_alphanumeric() || "+-._=/".contains(c);
    url.chars().all(fine) && url.split('/').all(|part| !["", ".", ".."].contains(&part))
}

fn bad(reason: impl Into<String>) -> NarError {
    NarError::BadNarInfo { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// In the form in which Nix writes it; made with a key whose seed is 32 bytes of 7.
    const TEXT: &str = "\
StorePath: /nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-hello-2.12
URL: nar/0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73.nar.zst
Compression: zstd
FileHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
FileSize: 120
NarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73
NarSize: 226488
References: 3n58xw4373jp0ljirf06d8077j15pc4j-glibc-2.37-8 7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-hello-2.12
Deriver: 10dqdsz5wdnyzpm1bl6s5d4m3a6dzm5n-hello-2.12.drv
Sig: cache-1:AAAA
";

    fn read(text: &str) -> Result<NarInfo, NarError> {
        NarInfo::parse(text.as_bytes())
    }

    #[test]
    fn what_nix_writes_is_read_and_written_the_same() {
        let info = read(TEXT).unwrap();
        assert_eq!(info.render(), TEXT);
        assert_eq!(info.key(), "7h7qgvs4kgzsn8a6rb273saxyqh4jxlz.narinfo");
        let few = "StorePath: /nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-a\nURL: nar/x.nar\nCompression: none\nNarHash: sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73\nNarSize: 1\nReferences: \n";
        assert_eq!(read(few).unwrap().render(), few);
    }

    #[test]
    fn the_fingerprint_has_full_paths_in_order() {
        assert_eq!(
            read(TEXT).unwrap().fingerprint(),
            "1;/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-hello-2.12;\
             sha256:0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73;226488;\
             /nix/store/3n58xw4373jp0ljirf06d8077j15pc4j-glibc-2.37-8,/nix/store/7h7qgvs4kgzsn8a6rb273saxyqh4jxlz-hello-2.12"
        );
    }

    #[test]
    fn a_signature_does_not_cover_how_the_nar_is_stored_and_covers_the_rest() {
        let key = SecretKey::generate("k").unwrap();
        let trusted = TrustedKeys::new(vec![key.public()]);
        let mut info = read(TEXT).unwrap();
        assert_eq!(info.signer(&trusted), None);
        info.sign(&key);
        info.sign(&key);
        assert_eq!(info.signatures.len(), 2, "the older signature of the same key is replaced");
        assert!(info.signer(&trusted).is_some());
        let stored =
            NarInfo { url: "nar/b.nar".to_owned(), compression: Compression::None, file_size: None, ..info.clone() };
        assert!(stored.signer(&trusted).is_some());
        assert_eq!(NarInfo { nar_size: 1, ..info.clone() }.signer(&trusted), None);
        assert_eq!(NarInfo { references: BTreeSet::new(), ..info.clone() }.signer(&trusted), None);
        assert_eq!(NarInfo { nar_hash: Sha256::of(b"x"), ..info }.signer(&trusted), None);
    }

    #[test]
    fn what_nix_would_not_write_is_refused_with_the_reason() {
        let said = |from: &str, to: &str| read(&TEXT.replace(from, to)).unwrap_err().to_string();
        assert_eq!(read(TEXT.trim_end()).unwrap_err().to_string(), "not a narinfo: its last line does not end");
        assert_eq!(said("NarSize: 226488\n", ""), "not a narinfo: NarSize is missing");
        assert_eq!(said("NarSize: 226488", "NarSize: +1"), "not a narinfo: NarSize `+1` is no number");
        assert_eq!(said("NarSize: 226488", "NarSize: 0"), "not a narinfo: NarSize is 0");
        assert!(said("URL: nar/", "URL: /nar/").ends_with("is not relative to the cache"));
        assert!(said("URL: nar/", "URL: ../").ends_with("is not relative to the cache"));
        assert!(said("URL: nar/", "URL: https://elsewhere/").ends_with("is not relative to the cache"));
        assert_eq!(said("FileSize: 120\n", "FileSize: 120\nFileSize: 120\n"), "not a narinfo: FileSize is there twice");
        assert_eq!(said("FileSize: 120", "FileSize=120"), "not a narinfo: `FileSize=120` is no line `Key: value`");
        assert!(said("References: 3n58", "References: ../../3n58").contains("is no store path"));
        assert_eq!(read("").unwrap_err().to_string(), "not a narinfo: its last line does not end");
        assert!(NarInfo::parse(b"StorePath: \xff\n").is_err());
    }

    #[test]
    fn a_missing_compression_means_bzip2_and_unknown_keys_are_ignored() {
        let info = read(&TEXT.replace("Compression: zstd\n", "System: x86_64-linux\n")).unwrap();
        assert_eq!(info.compression, Compression::Bzip2);
        assert_eq!(read(&TEXT.replace("zstd\n", "br\n")).unwrap().compression, Compression::Other("br".to_owned()));
        assert_eq!(
            read(&TEXT.replace("Deriver: 10dqdsz5wdnyzpm1bl6s5d4m3a6dzm5n-hello-2.12.drv", "Deriver: unknown-deriver"))
                .unwrap()
                .deriver,
            None
        );
    }

    proptest! {
        #[test]
        fn a_change_anywhere_never_panics_and_what_is_read_is_stable(at in 0..TEXT.len(), with in "\\PC{0,3}|\\n") {
            let text = format!("{}{with}{}", &TEXT[..at], &TEXT[at..]);
            if let Ok(info) = read(&text) {
                prop_assert_eq!(read(&info.render()), Ok(info));
            }
        }
    }
}
