//! Buckets themselves: made, looked for, emptied, deleted.

use rusty_s3::Method;

use crate::error::S3Error;
use crate::transport::{Body, Client, Request, Trouble};

impl Client {
    /// Makes the bucket; `false` when it was ours already.
    ///
    /// # Errors
    /// [`S3Error::BucketTaken`] when it is somebody else's, and all others.
    pub fn create_bucket(&self) -> Result<bool, S3Error> {
        // us-east-1 answers "made" for a bucket that is there, and some stores too: look first.
        if self.bucket_exists()? {
            return Ok(false);
        }
        let body = match self.region() {
            "us-east-1" => String::new(),
            region => format!(
                "<CreateBucketConfiguration xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><LocationConstraint>{region}</LocationConstraint></CreateBucketConfiguration>"
            ),
        };
        let request = Request { body: Body::Bytes(body.as_bytes()), ..self.about_bucket("create", Method::Put) };
        match self.send(&request) {
            Ok(_) => Ok(true),
            Err(Trouble { error: S3Error::Refused { code, .. }, earlier_may_have_worked })
                if code == "BucketAlreadyOwnedByYou" =>
            {
                Ok(earlier_may_have_worked)
            }
            Err(trouble) => Err(trouble.error),
        }
    }

    /// Whether there is such a bucket and we may use it.
    ///
    /// # Errors
    /// All of [`S3Error`]; [`S3Error::AccessDenied`] may mean that it is somebody else's.
    pub fn bucket_exists(&self) -> Result<bool, S3Error> {
        match self.send(&self.about_bucket("look for", Method::Head)) {
            Ok(_) => Ok(true),
            Err(Trouble { error: S3Error::NoSuchBucket { .. }, .. }) => Ok(false),
            Err(trouble) => Err(trouble.error),
        }
    }

    /// Deletes the bucket, which must be empty; that there was none is no error.
    ///
    /// # Errors
    /// [`S3Error::BucketNotEmpty`], and all others.
    pub fn delete_bucket(&self) -> Result<(), S3Error> {
        match self.send(&self.about_bucket("delete", Method::Delete)) {
            Ok(_) | Err(Trouble { error: S3Error::NoSuchBucket { .. }, .. }) => Ok(()),
            Err(trouble) => Err(trouble.error),
        }
    }

    fn about_bucket(&self, verb: &str, method: Method) -> Request<'static> {
        let what = format!("{verb} bucket `{}`", self.bucket_name());
        Request { what, method, key: None, query: Vec::new(), headers: Vec::new(), body: Body::None }
    }
}
