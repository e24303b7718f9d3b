// Reference runs Lucene's English analysis and BM25, which our index is compared
// with. Usage, each reading and writing plain text (see run.sh):
//
//   Reference classes                    ranges of characters by scanner class
//   Reference analyze       < lines      the terms of each line, joined by blanks
//   Reference index DIR     < id<TAB>text lines
//   Reference search DIR K  < id<TAB>query lines    topic, passage, score
//   Reference bench DIR K   < id<TAB>query lines    nanoseconds of each query; a line "go" repeats all
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Method;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.apache.lucene.analysis.TokenStream;
import org.apache.lucene.analysis.en.EnglishAnalyzer;
import org.apache.lucene.analysis.tokenattributes.CharTermAttribute;
import org.apache.lucene.document.Document;
import org.apache.lucene.document.Field;
import org.apache.lucene.document.StoredField;
import org.apache.lucene.document.TextField;
import org.apache.lucene.index.DirectoryReader;
import org.apache.lucene.index.IndexWriter;
import org.apache.lucene.index.IndexWriterConfig;
import org.apache.lucene.index.Term;
import org.apache.lucene.search.BooleanClause;
import org.apache.lucene.search.BooleanQuery;
import org.apache.lucene.search.IndexSearcher;
import org.apache.lucene.search.Query;
import org.apache.lucene.search.ScoreDoc;
import org.apache.lucene.search.TermQuery;
import org.apache.lucene.search.similarities.BM25Similarity;
import org.apache.lucene.store.MMapDirectory;

public final class Reference {
  private static final BM25Similarity BM25 = new BM25Similarity(0.9f, 0.4f);
  private static final EnglishAnalyzer ENGLISH = new EnglishAnalyzer();
  private static final PrintStream OUT = new PrintStream(System.out, false, StandardCharsets.UTF_8);

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8), 1 << 16);
    switch (args[0]) {
      case "classes" -> classes();
      case "analyze" -> {
        for (String line; (line = in.readLine()) != null; ) OUT.println(String.join(" ", terms(line)));
      }
      case "index" -> index(in, Path.of(args[1]));
      case "search" -> search(in, Path.of(args[1]), Integer.parseInt(args[2]));
      case "bench" -> bench(in, Path.of(args[1]), Integer.parseInt(args[2]));
      default -> throw new IllegalArgumentException(args[0]);
    }
    OUT.flush();
  }

  private static void classes() throws Exception {
    Method map = Class.forName("org.apache.lucene.analysis.standard.StandardTokenizerImpl").getDeclaredMethod("zzCMap", int.class);
    map.setAccessible(true);
    for (int start = 0; start <= Character.MAX_CODE_POINT; ) {
      int end = start, c = (Integer) map.invoke(null, start);
      while (end < Character.MAX_CODE_POINT && (Integer) map.invoke(null, end + 1) == c) end++;
      OUT.printf("%x %x %d%n", start, end, c);
      start = end + 1;
    }
  }

  private static List<String> terms(String text) throws Exception {
    List<String> out = new ArrayList<>();
    try (TokenStream s = ENGLISH.tokenStream("text", text)) {
      CharTermAttribute term = s.addAttribute(CharTermAttribute.class);
      s.reset();
      while (s.incrementToken()) out.add(term.toString());
      s.end();
    }
    return out;
  }

  private static void index(BufferedReader in, Path dir) throws Exception {
    long start = System.nanoTime(), bytes = 0;
    IndexWriterConfig config = new IndexWriterConfig(ENGLISH).setSimilarity(BM25).setOpenMode(IndexWriterConfig.OpenMode.CREATE);
    try (IndexWriter w = new IndexWriter(new MMapDirectory(dir), config)) {
      for (String line; (line = in.readLine()) != null; ) {
        int tab = line.indexOf('\t');
        Document d = new Document();
        d.add(new StoredField("id", line.substring(0, tab)));
        d.add(new TextField("text", line.substring(tab + 1), Field.Store.NO));
        w.addDocument(d);
        bytes += line.length() - tab - 1;
      }
      w.forceMerge(1);
    }
    OUT.printf("%.2f s, %.1f MB/s%n", (System.nanoTime() - start) / 1e9, bytes * 1e3 / (System.nanoTime() - start));
  }

  private static Query query(String text) throws Exception {
    Map<String, Integer> counts = new LinkedHashMap<>();
    for (String t : terms(text)) counts.merge(t, 1, Integer::sum);
    BooleanQuery.Builder b = new BooleanQuery.Builder();
    for (Map.Entry<String, Integer> e : counts.entrySet()) {
      for (int i = 0; i < e.getValue(); i++) b.add(new TermQuery(new Term("text", e.getKey())), BooleanClause.Occur.SHOULD);
    }
    return b.build();
  }

  private static IndexSearcher open(Path dir) throws Exception {
    IndexSearcher s = new IndexSearcher(DirectoryReader.open(new MMapDirectory(dir)));
    s.setSimilarity(BM25);
    s.setQueryCache(null);
    return s;
  }

  private static void search(BufferedReader in, Path dir, int k) throws Exception {
    IndexSearcher s = open(dir);
    for (String line; (line = in.readLine()) != null; ) {
      int tab = line.indexOf('\t');
      for (ScoreDoc d : s.search(query(line.substring(tab + 1)), k).scoreDocs) {
        OUT.printf("%s\t%s\t%s%n", line.substring(0, tab), s.storedFields().document(d.doc).get("id"), Float.toString(d.score));
      }
    }
  }

  private static void bench(BufferedReader in, Path dir, int k) throws Exception {
    IndexSearcher s = open(dir);
    List<String> queries = new ArrayList<>();
    for (String line; (line = in.readLine()) != null; ) {
      if (!line.equals("go")) {
        queries.add(line.substring(line.indexOf('\t') + 1));
        continue;
      }
      StringBuilder b = new StringBuilder();
      for (String q : queries) {
        long start = System.nanoTime();
        s.search(query(q), k); // with its analysis, as for all engines
        b.append(System.nanoTime() - start).append(' ');
      }
      OUT.println(b);
      OUT.flush();
    }
  }
}
