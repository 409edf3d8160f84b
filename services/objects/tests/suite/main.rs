//! What an object store has to do for us. `contract` holds for every S3 server; `embedded` for our own endpoint.
//!
//! Without further words each test gets an embedded endpoint of its own. With `DAILIES_TEST_S3_ENDPOINT`,
//! `DAILIES_TEST_S3_ACCESS_KEY_ID` and `DAILIES_TEST_S3_SECRET_ACCESS_KEY` (and `DAILIES_TEST_S3_REGION`) the contract
//! runs against that server, each test in a bucket of its own.

mod contract;
mod embedded;
mod server;
