//! Why a file cannot be cut.

/// Why a file cannot be cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The file ends within the header of an atom.
    Truncated,
    /// An atom of this size, in bytes, which its header exceeds.
    AtomTooSmall(u64),
    /// An atom of this size exceeds the one around it, or the file.
    AtomTooLarge(u64),
    /// The body of `ftyp`.
    FtypTooLarge(u64),
    /// The body of `moov`.
    MoovTooLarge(u64),
    /// An atom that must be there once.
    Duplicate(&'static str),
    /// An atom is too small for its content.
    TooSmall(&'static str),
    /// A compressed `moov`.
    Compressed,
    /// The start lies behind the end of the movie.
    StartsTooLate,
    /// Another fault, in words.
    In(&'static str),
}

impl Error {
    /// The message, for a file of this name.
    pub fn message(self, file: &str) -> String {
        match self {
            Self::Truncated => format!("\"{file}\" mp4 file truncated"),
            Self::AtomTooSmall(size) => format!("\"{file}\" mp4 atom is too small:{size}"),
            Self::AtomTooLarge(size) => format!("\"{file}\" mp4 atom too large:{size}"),
            Self::FtypTooLarge(size) => format!("\"{file}\" mp4 ftyp atom is too large:{size}"),
            Self::MoovTooLarge(size) => format!(
                "\"{file}\" mp4 moov atom is too large:{size}, \
                 you may want to increase mp4_max_buffer_size"
            ),
            Self::Duplicate(name) => format!("duplicate mp4 {name} atom in \"{file}\""),
            Self::TooSmall(name) => format!("\"{file}\" mp4 {name} atom too small"),
            Self::Compressed => {
                format!("\"{file}\" mp4 compressed moov atom (cmov) is not supported")
            }
            Self::StartsTooLate => format!("\"{file}\" mp4 start time exceeds file duration"),
            Self::In(what) => format!("{what} in \"{file}\""),
        }
    }
}
