/** How far changes of the schema that were made here have come, by their count. */
export class SchemaProgress {
  /** Asked for here. */
  made = 0;
  /** In force here, by a node connection transaction that had heard of them. */
  applied = 0;
  /** In force at every running node, and on its disc. */
  settled = 0;
  /** A node connection transaction is in force here, and maybe not at everybody yet. */
  isSpreading = false;

  /** One more, which a node connection transaction is to hear of. Returns its count. */
  next(): number {
    this.made += 1;
    return this.made;
  }

  /** Whether a node connection transaction is needed. */
  get isOpen(): boolean {
    return this.made > this.applied;
  }

  join(heardOf: number): void {
    this.applied = Math.max(this.applied, heardOf);
    this.isSpreading = true;
  }

  done(): void {
    this.settled = this.applied;
    this.isSpreading = false;
  }

  /** Whoever was to say that everybody has it is lost: the next node connection transaction says so. */
  leaderLost(): void {
    if (!this.isSpreading) return;
    this.applied = this.settled;
    this.isSpreading = false;
  }
}
