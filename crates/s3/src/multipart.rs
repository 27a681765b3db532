//! Files of any size: in one piece when small, else in parts. Memory does not grow with the file.

use std::path::Path;

use freehold_model::limits;
use fs_err::File;
use md5::{Digest, Md5};
use rusty_s3::Method;
use rusty_s3::actions::{CompleteMultipartUpload, CompleteMultipartUploadResponse, CreateMultipartUpload};

use crate::error::S3Error;
use crate::objects::{Put, Written, odd, read_text};
use crate::transport::{Body, Client, header};

impl Client {
    /// Uploads a file. An upload in parts appears whole or not at all, and is taken back when it fails.
    ///
    /// # Errors
    /// As [`Client::put`], and when the file cannot be read.
    pub fn put_file(&self, key: &str, path: &Path, put: &Put) -> Result<Written, S3Error> {
        self.put_file_in_parts(key, path, put, limits::S3_SINGLE_BYTES, limits::S3_PART_BYTES)
    }

    /// As [`Client::put_file`], in parts of `part_bytes` when the file has more than `single_bytes`.
    ///
    /// # Errors
    /// As [`Client::put_file`].
    pub fn put_file_in_parts(
        &self,
        key: &str,
        path: &Path,
        put: &Put,
        single_bytes: u64,
        part_bytes: u64,
    ) -> Result<Written, S3Error> {
        let file = File::open(path).map_err(|source| S3Error::ReadFile { path: path.to_owned(), source })?;
        self.put_open_file(key, &file, put, single_bytes, part_bytes)
    }

    /// As [`Client::put_file_in_parts`], for a file that is open and may have no name any more. Its position is not moved.
    ///
    /// # Errors
    /// As [`Client::put_file`].
    pub fn put_open_file(
        &self,
        key: &str,
        file: &File,
        put: &Put,
        single_bytes: u64,
        part_bytes: u64,
    ) -> Result<Written, S3Error> {
        let unreadable = |source| S3Error::ReadFile { path: file.path().to_owned(), source };
        let size = file.metadata().map_err(unreadable)?.len();
        if size <= single_bytes {
            let md5 = md5_of(file, 0, size).map_err(unreadable)?;
            return self.put_body(key, Body::Part { file: file.file(), offset: 0, length: size }, &md5, put);
        }
        let part_bytes = part_bytes.max(size.div_ceil(limits::S3_PARTS)).max(1);
        let upload = self.begin_upload(key, put)?;
        let result = self
            .upload_parts(key, &upload.id, file, size, part_bytes, &unreadable)
            .and_then(|etags| self.complete_upload(key, &upload, put, &etags));
        if result.is_err() {
            // Best effort: the failure that matters is the one before.
            let _ = self.abort_upload(key, &upload.id);
        }
        result
    }

    fn begin_upload(&self, key: &str, put: &Put) -> Result<Upload, S3Error> {
        let mut request = self.request("begin an upload of", Method::Post, key)?;
        request.query = vec![("uploads", "1".to_owned())];
        request.headers = put.description();
        let mark = put.mark(&mut request);
        let mut reply = self.send(&request)?;
        let text = read_text(&mut reply, &request)?;
        let created = CreateMultipartUpload::parse_response(&text).map_err(|e| odd(&request, e))?;
        Ok(Upload { id: created.upload_id().to_owned(), mark })
    }

    fn upload_parts(
        &self,
        key: &str,
        upload_id: &str,
        file: &File,
        size: u64,
        part_bytes: u64,
        unreadable: &dyn Fn(std::io::Error) -> S3Error,
    ) -> Result<Vec<String>, S3Error> {
        use base64::Engine as _;
        let mut etags = Vec::new();
        let mut offset = 0;
        while offset < size {
            let length = part_bytes.min(size - offset);
            let md5 = md5_of(file, offset, length).map_err(unreadable)?;
            let mut request = self.request("write a part of", Method::Put, key)?;
            request.query = vec![("partNumber", (etags.len() + 1).to_string()), ("uploadId", upload_id.to_owned())];
            request.headers = vec![("content-md5".to_owned(), base64::engine::general_purpose::STANDARD.encode(md5))];
            request.body = Body::Part { file: file.file(), offset, length };
            let reply = self.send(&request)?;
            etags.push(header(&reply.headers, "etag").ok_or_else(|| odd(&request, "it has no ETag"))?);
            offset += length;
        }
        Ok(etags)
    }

    fn complete_upload(&self, key: &str, upload: &Upload, put: &Put, etags: &[String]) -> Result<Written, S3Error> {
        let bucket = &self.inner.bucket;
        let body = CompleteMultipartUpload::new(bucket, None, key, &upload.id, etags.iter().map(String::as_str)).body();
        let mut request = self.request("complete the upload of", Method::Post, key)?;
        request.query = vec![("uploadId", upload.id.clone())];
        request.headers.extend(put.condition_header());
        request.headers.push(("content-type".to_owned(), "application/xml".to_owned()));
        request.body = Body::Bytes(body.as_bytes());
        let mut reply = match self.send(&request) {
            Ok(reply) => reply,
            // The first attempt may have completed it: then there is no such upload any more.
            Err(trouble) => {
                let gone = matches!(&trouble.error, S3Error::Refused { code, .. } if code == "NoSuchUpload");
                if gone
                    && trouble.earlier_may_have_worked
                    && let Some(meta) = self.head(key)?
                {
                    return Ok(Written { etag: meta.etag, version_id: meta.version_id });
                }
                return self.settle(key, upload.mark.as_deref(), put, trouble);
            }
        };
        let version_id = header(&reply.headers, "x-amz-version-id").filter(|id| id != "null");
        let text = read_text(&mut reply, &request)?;
        // A store may find out after it has said 200.
        let done = CompleteMultipartUploadResponse::parse(&text)
            .map_err(|_| odd(&request, text.chars().take(200).collect::<String>()))?;
        Ok(Written { etag: done.etag().to_owned(), version_id })
    }

    fn abort_upload(&self, key: &str, upload_id: &str) -> Result<(), S3Error> {
        let mut request = self.request("take back the upload of", Method::Delete, key)?;
        request.query = vec![("uploadId", upload_id.to_owned())];
        self.send(&request)?;
        Ok(())
    }
}

struct Upload {
    id: String,
    mark: Option<String>,
}

fn md5_of(file: &File, mut offset: u64, mut left: u64) -> std::io::Result<Vec<u8>> {
    use std::os::unix::fs::FileExt;
    let mut digest = Md5::new();
    let mut buffer = vec![0; 256 * 1024];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = file.file().read_at(&mut buffer[..most], offset)?;
        if read == 0 {
            return Err(std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the file became shorter"));
        }
        digest.update(&buffer[..read]);
        offset += read as u64;
        left -= read as u64;
    }
    Ok(digest.finalize().to_vec())
}
