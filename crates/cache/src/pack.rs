//! From a store path to a compressed NAR and its hashes, and back to the hash of the NAR. Memory does not grow with the path.

use std::io::{self, Read, Write};
use std::path::Path;

use freehold_model::limits;
use freehold_nar::{Compression, Sha256};
use nix_archive::nar::{CaseHack, encode_path};
use sha2::Digest as _;

use crate::pool::{Halt, cores};

/// Level of zstd: Nix's own default.
const ZSTD_LEVEL: i32 = 3;
/// Preset of xz: that of Nix (6) takes 94 MiB for each thread, this one 48 MiB.
const XZ_PRESET: u32 = 4;
/// A file that is unpacked is read in pieces of this size.
const PIECE: usize = 128 * 1024;

/// Hashes and sizes of a NAR and of its compressed file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) nar_hash: Sha256,
    pub(crate) nar_size: u64,
    pub(crate) file_hash: Sha256,
    pub(crate) file_size: u64,
}

/// NARs that may be compressed at once.
pub(crate) fn packers(compression: &Compression) -> usize {
    match compression {
        Compression::Xz => cores().min(2),
        _ => cores().min(limits::CACHE_PACKERS),
    }
}

/// How many permits a NAR of that size takes, as many as threads compress it.
pub(crate) fn weight(compression: &Compression, nar_size: u64) -> usize {
    match compression {
        Compression::Zstd if nar_size >= limits::CACHE_PARALLEL_BYTES => packers(compression),
        _ => 1,
    }
}

/// Writes the NAR of what is at `path` into `sink`, compressed by `threads` threads.
pub(crate) fn pack(
    path: &Path,
    compression: &Compression,
    threads: usize,
    sink: &mut dyn Write,
    halt: &Halt<'_>,
) -> io::Result<Packed> {
    let mut file = Counted::new(sink, None);
    let (nar_hash, nar_size) = match compression {
        Compression::None => encode(path, &mut file, halt)?,
        Compression::Zstd => {
            let mut encoder = zstd::stream::write::Encoder::new(&mut file, ZSTD_LEVEL)?;
            if threads > 1 {
                encoder.multithread(u32::try_from(threads).unwrap_or(1))?;
            }
            let nar = encode(path, &mut encoder, halt)?;
            encoder.finish()?;
            nar
        }
        Compression::Xz => {
            let mut encoder = liblzma::write::XzEncoder::new(&mut file, XZ_PRESET);
            let nar = encode(path, &mut encoder, halt)?;
            encoder.finish()?;
            nar
        }
        other => return Err(unsupported(other)),
    };
    let (file_hash, file_size) = file.end();
    Ok(Packed { nar_hash, nar_size, file_hash, file_size })
}

/// Whether [`unpack`] knows this compression.
pub(crate) fn can_unpack(compression: &Compression) -> bool {
    match compression {
        Compression::None | Compression::Zstd | Compression::Xz | Compression::Bzip2 => true,
        Compression::Other(name) => matches!(name.as_str(), "gzip" | "br"),
    }
}

/// Hash and size of the NAR that `source` holds compressed; gives up when it has more than `limit` bytes.
pub(crate) fn unpack(
    source: impl Read,
    compression: &Compression,
    limit: u64,
    halt: &Halt<'_>,
) -> io::Result<(Sha256, u64)> {
    match compression {
        Compression::None => hash(source, limit, halt),
        Compression::Zstd => hash(zstd::stream::read::Decoder::new(source)?, limit, halt),
        Compression::Xz => {
            let stream = liblzma::stream::Stream::new_stream_decoder(
                limits::CACHE_UNPACK_MEMORY,
                liblzma::stream::CONCATENATED,
            )?;
            hash(liblzma::read::XzDecoder::new_stream(source, stream), limit, halt)
        }
        Compression::Bzip2 => hash(bzip2::read::MultiBzDecoder::new(source), limit, halt),
        Compression::Other(name) if name == "gzip" => hash(flate2::read::MultiGzDecoder::new(source), limit, halt),
        Compression::Other(name) if name == "br" => {
            hash(brotli_decompressor::Decompressor::new(source, PIECE), limit, halt)
        }
        other => Err(unsupported(other)),
    }
}

/// Hash and size of the NAR that a file holds compressed, as a pull finds them out; for checks of this alone.
///
/// # Errors
/// It is no such file, or holds more than `limit` bytes.
pub fn digest(file: &[u8], compression: &Compression, limit: u64) -> io::Result<(Sha256, u64)> {
    let stop = std::sync::atomic::AtomicBool::new(false);
    unpack(file, compression, limit, &Halt::of(&stop))
}

/// Hash and size of all that `source` gives.
pub(crate) fn hash(mut source: impl Read, limit: u64, halt: &Halt<'_>) -> io::Result<(Sha256, u64)> {
    let mut nothing = io::sink();
    let mut counted = Counted::new(&mut nothing, Some(halt));
    let mut piece = vec![0; PIECE];
    loop {
        match source.read(&mut piece) {
            Ok(0) => return Ok(counted.end()),
            Ok(read) => counted.write_all(piece.get(..read).unwrap_or_default())?,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
        if counted.size > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {limit} bytes")));
        }
    }
}

fn encode(path: &Path, sink: &mut dyn Write, halt: &Halt<'_>) -> io::Result<(Sha256, u64)> {
    let mut nar = Counted::new(sink, Some(halt));
    // Small files come as many small writes.
    let mut buffered = io::BufWriter::with_capacity(PIECE, &mut nar);
    encode_path(&mut buffered, path, CaseHack::native()).map_err(|error| match error {
        nix_archive::nar::Error::Io(error) => error,
        other => io::Error::other(other),
    })?;
    buffered.flush()?;
    drop(buffered);
    Ok(nar.end())
}

fn unsupported(compression: &Compression) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, format!("its compression `{}` is not supported", compression.as_str()))
}

/// Passes bytes on and hashes them.
pub(crate) struct Counted<'a> {
    inner: &'a mut dyn Write,
    hash: sha2::Sha256,
    size: u64,
    halt: Option<&'a Halt<'a>>,
}

impl<'a> Counted<'a> {
    /// In front of `inner`; refuses to go on when `halt` is set.
    pub(crate) fn new(inner: &'a mut dyn Write, halt: Option<&'a Halt<'a>>) -> Self {
        Self { inner, hash: sha2::Sha256::new(), size: 0, halt }
    }

    /// What went through.
    pub(crate) fn end(self) -> (Sha256, u64) {
        (Sha256::new(self.hash.finalize().into()), self.size)
    }
}

impl Write for Counted<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        if self.halt.is_some_and(Halt::is_set) {
            return Err(io::Error::other("stopped"));
        }
        let written = self.inner.write(buffer)?;
        self.hash.update(buffer.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
