package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/pb33f/libopenapi/datamodel"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// TestDescriptionIsOpenAPI holds the whole description against OpenAPI's own schema of
// version 3.1, and against its dialect the schemas that it has.
func TestDescriptionIsOpenAPI(t *testing.T) {
	const url = "https://flashback.invalid/openapi-3.1"
	text, err := descriptionJSON()
	if err != nil {
		t.Fatal(err)
	}
	rules, err := jsonschema.UnmarshalJSON(strings.NewReader(datamodel.OpenAPI31SchemaData))
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource(url, rules); err != nil {
		t.Fatal(err)
	}
	openAPI, err := c.Compile(url)
	if err != nil {
		t.Fatal(err)
	}
	check := func(text []byte) error {
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return openAPI.Validate(document)
	}
	if err := check(text); err != nil {
		t.Error(err)
	}
	for what, fault := range map[string][2]string{
		"no version":              {`"version":`, `"versions":`},
		"a method that is none":   {`"post":`, `"ask":`},
		"an answer of no status":  {`"200":`, `"2000":`},
		"a body without contents": {`"requestBody":{"content":`, `"requestBody":{"contents":`},
		"a place that is none":    {`"in":"path"`, `"in":"paths"`},
	} {
		broken := bytes.Replace(text, []byte(fault[0]), []byte(fault[1]), 1)
		if bytes.Equal(broken, text) {
			t.Errorf("%s: %s is not in the description", what, fault[0])
		} else if check(broken) == nil {
			t.Errorf("%s: it is taken for OpenAPI", what)
		}
	}
}
