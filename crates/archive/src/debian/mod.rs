//! Debian's archive: from the signed release to the files of a package.
//!
//! Follows the Debian repository format, `deb(5)`, `deb-control(5)` and Debian Policy 5.

mod ar;
mod contents;
pub mod database;
mod index;
mod parts;
mod release;
mod version;

pub use contents::{Contents, Kind, Member, Origin};
pub(crate) use index::is_inside;
pub use index::{Package, read_index, read_index_of};
pub(crate) use parts::each_file;
pub use release::{Listed, Release};
pub use version::Version;
