//! built-in provider s3: buckets and objects.
