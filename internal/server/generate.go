package server

import (
	"context"
	"errors"
	"iter"
	"math"
	"net/http"
	"unicode/utf8"

	"github.com/flashback-lm/flashback"
	"github.com/flashback-lm/flashback/internal/ralm"
)

// job is a request that was read and resolved, and may run when it is admitted.
type job struct {
	shape   shape
	key     *Key
	asked   *common
	lookUp  *lookUp // nil: nothing is looked up
	address func(flashback.Passage) string
	plan    flashback.Plan
	prompt  int // tokens
	choices int
	chat    bool
	release func() // gives back what it holds; more than once does no harm
	// begin returns what each choice begins with before anything is written; nil: nothing.
	begin func(ctx context.Context) (part, error)
	// run writes the choices.
	run func(ctx context.Context) iter.Seq2[flashback.Choice, error]
	// provenance says what the first choice is from; nil: nobody asks.
	provenance func(ctx context.Context) (flashback.Provenance, error)
	// looked hears of each stride before its text; nil: nobody does.
	looked func(flashback.Stride) error
}

// shape is how an endpoint says what is written.
type shape interface {
	// event returns what is sent of a stream for a part.
	event(p part) any
	// whole returns the answer that is not streamed.
	whole(answers []answer, u *usage, extra *extra) any
}

// part is what is new of a choice, or of all where index is -1.
type part struct {
	index       int
	role        bool // the choice begins
	text        string
	tokens      []written
	annotations []annotation
	finish      string // why the choice ended
	extra       *extra
	usage       *usage
	usages      bool // parts say usage, null where it is nil
}

// written is a token with what was asked of its probability.
type written struct {
	flashback.Likely
	likeliest []flashback.Likely
	none      bool // nothing is known of it: the first of a prompt
}

// answer is a whole choice.
type answer struct {
	text        string
	tokens      []written
	annotations []annotation
	finish      string
}

// extra is the object "flashback" of an answer.
type extra struct {
	Stride    *strideReport         `json:"stride,omitempty"`
	Strides   []*strideReport       `json:"strides,omitempty"` // of an answer that is not streamed
	Counts    *flashback.Counts     `json:"counts,omitempty"`
	Influence *flashback.Provenance `json:"influence,omitempty"`
	Trace     []*flashback.Trace    `json:"trace,omitempty"` // of each choice
	source    map[string]any        // an event of Open WebUI's, which is sent alone
}

// add takes what a part tells besides, of an answer that is told whole.
func (x *extra) add(p part) {
	switch {
	case p.extra == nil:
	case p.extra.Stride != nil:
		x.Strides = append(x.Strides, p.extra.Stride)
	default:
		x.Counts, x.Influence, x.Trace = p.extra.Counts, p.extra.Influence, p.extra.Trace
	}
}

// usage counts tokens as OpenAI's API does. Passages are not among those of the prompt.
type usage struct {
	Prompt     int `json:"prompt_tokens"`
	Completion int `json:"completion_tokens"`
	Total      int `json:"total_tokens"`
	Details    struct {
		Cached int `json:"cached_tokens"` // of the prompt, whose keys and values were there
	} `json:"prompt_tokens_details"`
}

// choice is one of a job's texts while it is written.
type choice struct {
	citer
	length  int // characters sent
	pending []written
	why     ralm.Reason
	shown   []shown // for the footer
	trace   *flashback.Trace
}

// generate admits a job, runs it and answers with what it writes.
func (s *Server) generate(w http.ResponseWriter, r *http.Request, j *job) error {
	if j.asked.Stream {
		return s.stream(w, r, j)
	}
	answers := make([]answer, j.choices)
	all := &extra{}
	used, err := s.follow(r.Context(), j, func(p part) error {
		if p.index >= 0 {
			a := &answers[p.index]
			a.text += p.text
			a.tokens = append(a.tokens, p.tokens...)
			a.annotations = append(a.annotations, p.annotations...)
			if p.finish != "" {
				a.finish = p.finish
			}
		}
		all.add(p)
		return nil
	})
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, j.shape.whole(answers, used, all))
	return nil
}

// errGone says that nobody reads the answer any more.
var errGone = errors.New("the client has gone")

// follow runs a job when it is its turn, and emits what it writes part by part.
func (s *Server) follow(ctx context.Context, j *job, emit func(part) error) (used *usage, err error) {
	watch := s.watch(ctx, j)
	defer func() { watch.ended(err) }()
	defer j.release() // before a slow reader has read it all
	texts := j.choices
	if j.provenance != nil {
		texts += j.plan.Passages + 1 // it is scored with all passages and without each
	}
	leave, err := s.admission.enter(ctx, j.key, j.plan.KVTokens(j.prompt, texts))
	watch.queued(err)
	if err != nil {
		return nil, gone(ctx, err)
	}
	defer leave()
	f := follower{job: j, emit: emit, model: s.o.Model, choices: make([]choice, j.choices)}
	for i := range f.choices {
		f.choices[i].citer = citer{address: j.address, chat: j.chat}
		if j.asked.Flashback.Trace {
			f.choices[i].trace = &flashback.Trace{}
		}
	}
	if err := f.begun(ctx); err != nil {
		return nil, gone(ctx, err)
	}
	for c, err := range j.run(ctx) {
		if err == nil {
			watch.event(c)
			err = f.add(c)
		}
		if err != nil {
			return nil, gone(ctx, err)
		}
	}
	return f.finish(ctx)
}

// gone returns why a context was cancelled, or else the error.
func gone(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return errGone
}

// follower turns events into parts.
type follower struct {
	*job
	model   Model
	emit    func(part) error
	choices []choice
	counts  flashback.Counts
	tokens  int // written
}

// begun emits what each choice begins with.
func (f *follower) begun(ctx context.Context) error {
	if f.begin == nil {
		return nil
	}
	p, err := f.begin(ctx)
	for i := 0; i < len(f.choices) && err == nil; i++ {
		p.index = i
		f.choices[i].raw.WriteString(p.text)
		f.choices[i].length = utf8.RuneCountInString(p.text)
		err = f.emit(p)
	}
	return err
}

// add emits what an event says.
func (f *follower) add(event flashback.Choice) error {
	c := &f.choices[event.Index]
	if c.trace != nil {
		c.trace.Add(event.Event)
	}
	switch e := event.Event.(type) {
	case flashback.Stride:
		if err := f.endStride(event.Index, -1); err != nil {
			return err
		}
		c.begin(e)
		if f.looked != nil {
			return f.looked(e)
		}
	case flashback.Token:
		c.raw.WriteString(f.model.Text([]int32{e.ID}, false))
		if f.plan.Logprobs {
			c.pending = append(c.pending, written{Likely: flashback.Likely{ID: e.ID, Logprob: e.Logprob}, likeliest: e.Likeliest})
		}
		return f.text(event.Index, e.Text)
	case flashback.Finish:
		c.why = e.Reason
		f.counts.Add(e.Counts)
		f.tokens += e.Tokens
		if n := len(c.pending); n > 0 && e.Reason == ralm.EOS {
			c.pending = c.pending[:n-1] // it is no text
		}
		if err := f.text(event.Index, e.Text); err != nil {
			return err
		}
		return f.endStride(event.Index, c.length)
	}
	return nil
}

// text emits text that became certain, with the tokens that it took.
func (f *follower) text(index int, text string) error {
	c := &f.choices[index]
	if text == "" && (len(c.pending) == 0 || c.why == "") {
		return nil
	}
	p := part{index: index, text: text, tokens: c.pending}
	c.length += utf8.RuneCountInString(text)
	c.pending = nil
	return f.emit(p)
}

// endStride emits what the last stride of a choice saw.
func (f *follower) endStride(index, length int) error {
	c := &f.choices[index]
	stride := c.stride
	report, annotations := c.end(length)
	if report == nil || f.lookUp == nil {
		return nil
	}
	for i, p := range report.Passages {
		if cites(c.shown, p) {
			continue
		}
		c.shown = append(c.shown, p)
		if f.asked.Flashback.OpenWebUI && f.asked.Stream {
			if err := f.emit(part{index: -1, extra: &extra{source: sourceEvent(p, stride.Passages[i].Text)}}); err != nil {
				return err
			}
		}
	}
	// Open WebUI makes a source of its own of each annotation.
	if x := f.asked.Flashback; x.Cite == citeFooter || x.Cite == citeNone || x.OpenWebUI && f.asked.Stream {
		annotations = nil
	}
	report.Choice = index
	return f.emit(part{index: index, annotations: annotations, extra: &extra{Stride: report}})
}

// cites reports whether a passage is among those that were shown.
func cites(shown []shown, p shown) bool {
	for _, s := range shown {
		if s.URL == p.URL && s.ID == p.ID && s.Source == p.Source {
			return true
		}
	}
	return false
}

// finish emits how all choices ended and returns what they took.
func (f *follower) finish(ctx context.Context) (*usage, error) {
	for i := range f.choices {
		if f.choices[i].why == ralm.Cancelled {
			return nil, gone(ctx, errGone)
		}
	}
	last := &extra{Counts: &f.counts}
	if f.provenance != nil {
		p, err := f.provenance(ctx)
		if err != nil {
			return nil, gone(ctx, err)
		}
		last.Influence = &p
	}
	for i := range f.choices {
		c := &f.choices[i]
		if c.trace != nil {
			last.Trace = append(last.Trace, c.trace)
		}
		p := part{index: i, finish: finishReason(c.why)}
		if f.asked.Flashback.Cite == citeFooter {
			if text := footer(c.shown); text != "" {
				if err := f.emit(part{index: i, text: text}); err != nil {
					return nil, err
				}
			}
		}
		if i == len(f.choices)-1 {
			p.extra = last
		}
		if err := f.emit(p); err != nil {
			return nil, err
		}
	}
	u := &usage{Prompt: f.prompt, Completion: f.tokens, Total: f.prompt + f.tokens}
	u.Details.Cached = min(f.counts.PromptReused, f.prompt)
	return u, nil
}

// finishReason says in OpenAI's words why a text ended.
func finishReason(r ralm.Reason) string {
	if r == ralm.Limit || r == ralm.Length {
		return "length"
	}
	return "stop"
}

// leastLogprob stands for the logarithm of nothing, which JSON cannot say.
const leastLogprob = -9999

func logprob(v float64) float64 {
	if math.IsNaN(v) {
		return leastLogprob
	}
	return max(v, leastLogprob)
}

// likeliest checks how many likely tokens are asked for.
func likeliest(param string, n *int) (int, error) {
	asked := 0
	err := whole(param, n, 0, maxLikeliest, &asked)
	return asked, err
}

// tokenText returns a token's text as JSON can say it, and its bytes.
func (s *Server) tokenText(id int32) (string, []int) {
	text := s.o.Model.Text([]int32{id}, true)
	bytes := make([]int, len(text))
	for i := range len(text) {
		bytes[i] = int(text[i])
	}
	return string([]rune(text)), bytes
}
