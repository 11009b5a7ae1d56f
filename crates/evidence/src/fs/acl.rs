//! POSIX access lists in the form the kernel hands to programs, whatever form a file system keeps them in.
//!
//! Form: `linux/posix_acl_xattr.h`: a version word 2, then tag, permissions and id for each entry, little endian.

/// One entry of an access list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AclEntry {
    /// `ACL_USER_OBJ` 1, `ACL_USER` 2, `ACL_GROUP_OBJ` 4, `ACL_GROUP` 8, `ACL_MASK` 16, `ACL_OTHER` 32.
    pub(crate) tag: u16,
    /// Read 4, write 2, execute 1.
    pub(crate) permissions: u16,
    /// User or group for tags 2 and 8; else [`NO_ID`].
    pub(crate) id: u32,
}

/// The id of an entry that names nobody.
pub(crate) const NO_ID: u32 = u32::MAX;

/// The value of `system.posix_acl_access` or `system.posix_acl_default`.
pub(crate) fn encode(entries: &[AclEntry]) -> Vec<u8> {
    let mut out = 2_u32.to_le_bytes().to_vec();
    for entry in entries {
        out.extend(entry.tag.to_le_bytes());
        out.extend(entry.permissions.to_le_bytes());
        out.extend(entry.id.to_le_bytes());
    }
    out
}
