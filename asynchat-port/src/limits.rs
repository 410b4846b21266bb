//! Bounds of time and memory.

/// What the tool reads at most. Each limit is an option of the program.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one file. A byte takes up to 250 bytes of memory.
    pub file_size: u64,
    /// Bytes of all files.
    pub total_size: u64,
    /// Nodes of the syntax of all files, of which short statements have one for each byte. A node takes up to 150 bytes.
    pub nodes: usize,
    /// Files of all arguments.
    pub files: usize,
    /// Folders inside each other.
    pub depth: usize,
    /// Steps of the parser for each byte of a file. Python needs less than one; recovery from errors needs more.
    pub steps_per_byte: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            file_size: 2 << 20,
            total_size: 16 << 20,
            nodes: 4_000_000,
            files: 10_000,
            depth: 64,
            steps_per_byte: 20,
        }
    }
}
