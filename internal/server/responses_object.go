package server

// responseObject is what /v1/responses answers, whole or as a part of an event.
type responseObject struct {
	ID                string            `json:"id"`
	Object            string            `json:"object"`
	CreatedAt         int64             `json:"created_at"`
	CompletedAt       *int64            `json:"completed_at"`
	Status            string            `json:"status"` // in_progress, completed, incomplete or failed
	Error             *responseError    `json:"error"`
	Incomplete        object            `json:"incomplete_details"`
	Model             string            `json:"model"`
	Instructions      any               `json:"instructions"`
	MaxOutputTokens   *int              `json:"max_output_tokens"`
	Output            []any             `json:"output"` // a *searchItem where passages are looked up, a *messageItem
	Temperature       float64           `json:"temperature"`
	TopP              float64           `json:"top_p"`
	TopLogprobs       int               `json:"top_logprobs"`
	Tools             []searchTool      `json:"tools"`
	ToolChoice        toolChoice        `json:"tool_choice"`
	ParallelToolCalls bool              `json:"parallel_tool_calls"`
	Text              object            `json:"text"`
	Reasoning         object            `json:"reasoning"`
	Truncation        string            `json:"truncation"`
	Background        bool              `json:"background"`
	Store             bool              `json:"store"`
	Previous          *string           `json:"previous_response_id"`
	Metadata          map[string]string `json:"metadata"`
	Usage             *responseUsage    `json:"usage"`
	Flashback         *extra            `json:"flashback"`
}

// responseError is what a response failed by.
type responseError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

// responseUsage counts tokens as /v1/responses does. Passages are not among those of the
// input, and the model writes nothing that is not shown.
type responseUsage struct {
	Input        int `json:"input_tokens"`
	InputDetails struct {
		Cached  int `json:"cached_tokens"`
		Written int `json:"cache_write_tokens"` // none are charged for
	} `json:"input_tokens_details"`
	Output        int `json:"output_tokens"`
	OutputDetails struct {
		Reasoning int `json:"reasoning_tokens"`
	} `json:"output_tokens_details"`
	Total int `json:"total_tokens"`
}

// searchItem tells what was looked up for the question.
type searchItem struct {
	ID      string         `json:"id"`
	Type    string         `json:"type"`
	Status  string         `json:"status"`
	Queries []string       `json:"queries"`
	Results []searchResult `json:"results"` // null where nobody asked for them
}

// searchResult is a passage that the question found.
type searchResult struct {
	File       string            `json:"file_id"`
	Filename   string            `json:"filename"`
	Score      float64           `json:"score"`
	Text       string            `json:"text"`
	Attributes map[string]string `json:"attributes"`
}

// messageItem is the answer.
type messageItem struct {
	ID      string       `json:"id"`
	Type    string       `json:"type"`
	Status  string       `json:"status"`
	Role    string       `json:"role"`
	Content []outputText `json:"content"`
}

// outputText is its text.
type outputText struct {
	Type        string         `json:"type"`
	Text        string         `json:"text"`
	Annotations []fileCitation `json:"annotations"`
	Logprobs    []object       `json:"logprobs"`
}

// fileCitation says that a part of the answer was written with a passage of a file in
// sight: the part's end, as OpenAI's API has it, and its beginning, and the passage.
type fileCitation struct {
	Type       string `json:"type"`
	File       string `json:"file_id"`
	Filename   string `json:"filename"`
	Index      int    `json:"index"` // the character of the answer that the part ends before
	StartIndex int    `json:"start_index"`
	EndIndex   int    `json:"end_index"`
	Title      string `json:"title"`
	Passage    string `json:"passage_id"`
	URL        string `json:"url"`
}
