// Renders the chart without Helm, for machines where there is none: the same template engine and the same library of
// functions, and of Helm's own functions those that the chart uses. `go run` in GOPATH mode with Debian's
// golang-github-masterminds-sprig-dev and golang-gopkg-yaml.v2-dev; docker/helm/try does it.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig"
	"gopkg.in/yaml.v2"
)

type values = map[string]interface{}

func main() {
	if len(os.Args) < 3 {
		fail(fmt.Errorf("usage: render RELEASE CHART [VALUES.yaml…]"))
	}
	release, chart := os.Args[1], os.Args[2]
	about := read(filepath.Join(chart, "Chart.yaml"))
	given := read(filepath.Join(chart, "values.yaml"))
	for _, file := range os.Args[3:] {
		overlay(given, read(file))
	}
	page := template.New("chart").Option("missingkey=zero").Funcs(sprig.TxtFuncMap())
	page.Funcs(template.FuncMap{
		"toYaml": func(value interface{}) (string, error) {
			text, err := yaml.Marshal(value)
			return strings.TrimSuffix(string(text), "\n"), err
		},
		"toJson": func(value interface{}) (string, error) {
			text, err := json.Marshal(value)
			return string(text), err
		},
		"required": func(why string, value interface{}) (interface{}, error) {
			if value == nil || value == "" {
				return nil, fmt.Errorf("%s", why)
			}
			return value, nil
		},
		"include": func(name string, data interface{}) (string, error) {
			var text bytes.Buffer
			err := page.ExecuteTemplate(&text, name, data)
			return text.String(), err
		},
	})
	files, err := filepath.Glob(filepath.Join(chart, "templates", "*"))
	fail(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		fail(err)
		_, err = page.New(filepath.Base(file)).Parse(string(text))
		fail(err)
	}
	data := values{
		"Values":  given,
		"Chart":   values{"Name": about["name"], "Version": about["version"], "AppVersion": about["appVersion"]},
		"Release": values{"Name": release, "Namespace": "default", "Service": "Helm"},
	}
	for _, file := range files {
		if strings.HasSuffix(file, ".yaml") {
			fmt.Printf("---\n# Source: %s\n", filepath.Base(file))
			fail(page.ExecuteTemplate(os.Stdout, filepath.Base(file), data))
		}
	}
}

// read gives a file's values with texts as keys all the way down, as Helm has them.
func read(file string) values {
	text, err := os.ReadFile(file)
	fail(err)
	var found interface{}
	fail(yaml.Unmarshal(text, &found))
	plain, _ := texts(found).(values)
	return plain
}

func texts(value interface{}) interface{} {
	switch value := value.(type) {
	case map[interface{}]interface{}:
		plain := values{}
		for key, inner := range value {
			plain[fmt.Sprint(key)] = texts(inner)
		}
		return plain
	case []interface{}:
		for at := range value {
			value[at] = texts(value[at])
		}
	}
	return value
}

func overlay(under, over values) {
	for key, value := range over {
		inner, isTable := value.(values)
		below, wasTable := under[key].(values)
		if isTable && wasTable {
			overlay(below, inner)
		} else {
			under[key] = value
		}
	}
}

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
