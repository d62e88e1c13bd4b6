package maildir

import "context"

// deriver bounds what it takes to make keys of passwords: 64 MiB for each at the same time.
type deriver struct {
	slots chan struct{}
	// ended is called when a key was made, while nobody has used it yet; nil: nothing. It is for tests.
	ended func()
}

func (d *deriver) init() { d.slots = make(chan struct{}, 1) }

// begin waits until a key may be made. done is called when it is.
func (d *deriver) begin(ctx context.Context) (done func(), err error) {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return func() {
		<-d.slots
		if d.ended != nil {
			d.ended()
		}
	}, nil
}
