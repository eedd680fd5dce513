package audit

// Follower checks a chain as it is fed to it, and holds it against signed
// checkpoints. The zero Follower is of no chain; see NewFollower.
type Follower struct {
	report Report
}

// Report says what a Follower saw.
type Report struct {
	Origin      string
	From        Head       // what was checked begins behind it
	Head        Head       // the last link that holds
	Records     uint64     // that were read and hold
	Disposed    uint64     // that stubs stand for
	Checkpoints int        // that hold
	Unchecked   int        // checkpoints that lie before From
	Signed      Checkpoint // the newest checkpoint that holds; zero for none
	Broken      *Break     // the first place at which the chain does not hold; nil when it does
}

// NewFollower begins behind from. public are the keys whose checkpoints count;
// with none, checkpoints are not checked.
func NewFollower(origin string, from Head, public ...string) *Follower { panic("not yet") }

// Expect tells of a checkpoint from elsewhere, before or while the chain is fed.
func (f *Follower) Expect(note []byte) { panic("not yet") }

// Link takes the next link, and says whether the chain holds so far.
func (f *Follower) Link(l Link) bool { panic("not yet") }

// Stub takes what stands for records that were disposed of.
func (f *Follower) Stub(s Stub) bool { panic("not yet") }

// Checkpoint takes one that stands in the chain's own export or store.
func (f *Follower) Checkpoint(note []byte) bool { panic("not yet") }

// Finish is the report when there is no more. Checkpoints beyond the end, and
// stubs that no record attests, break the chain.
func (f *Follower) Finish() Report { panic("not yet") }
