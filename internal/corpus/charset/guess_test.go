package charset

import (
	"testing"

	"golang.org/x/text/encoding/ianaindex"
)

// shortTexts are what notes and file listings hold: a line each.
var shortTexts = []struct{ enc, text string }{
	{"windows-1252", "Der Schlüssel liegt in der Küche. Café Zürich costs 5 € “quoted”."},
	{"windows-1252", "Zürich, Die Käsefüße"},
	{"windows-1252", "El niño comió piñas en España."},
	{"windows-1252", "L’été dernier, nous étions à la plage."},
	{"windows-1252", "naïve café"},
	{"windows-1252", "Résumé"},
	{"windows-1252", "The temperature was 25° and it cost £30."},
	{"windows-1252", "“Hello,” she said — and left…"},
	{"gb18030", "钥匙放在厨房的抽屉里。"},
	{"gb18030", "北京是中华人民共和国的首都。"},
	{"gb18030", "会议定于周三下午三点举行,请准时参加。"},
	{"gb18030", "合同编号:2024-001\n甲方:上海公司"},
	{"shift_jis", "鍵は台所の引き出しにあります。"},
	{"shift_jis", "東京は日本の首都です。"},
	{"shift_jis", "カタカナのテスト"},
	{"shift_jis", "会議は水曜日の午後三時に行われます。"},
	{"euc-jp", "鍵は台所の引き出しにあります。"},
	{"euc-jp", "東京は日本の首都です。"},
	{"euc-kr", "열쇠는 부엌 서랍에 있습니다."},
	{"euc-kr", "서울은 대한민국의 수도입니다."},
	{"euc-kr", "회의는 수요일 오후 세 시에 열립니다."},
	{"big5", "鑰匙在廚房的抽屜裡。"},
	{"big5", "台北是中華民國的首都。"},
	{"koi8-r", "Ключ лежит на кухне."},
	{"koi8-r", "Москва - столица России."},
	{"koi8-r", "Собрание состоится в среду в три часа дня."},
	{"windows-1251", "Ключ лежит на кухне."},
	{"windows-1251", "Москва - столица России."},
	{"windows-1251", "Привет, мир!"},
	{"windows-1251", "Собрание состоится в среду в три часа дня."},
	{"ibm866", "Ключ лежит на кухне."},
	{"iso-8859-5", "Ключ лежит на кухне."},
	{"windows-1250", "Příliš žluťoučký kůň úpěl ďábelské ódy."},
	{"windows-1250", "Zażółć gęślą jaźń"},
	{"iso-8859-2", "Příliš žluťoučký kůň úpěl ďábelské ódy."},
	{"iso-8859-2", "Zażółć gęślą jaźń"},
	{"windows-1253", "Το κλειδί είναι στην κουζίνα."},
	{"windows-1254", "Anahtar mutfaktaki çekmecede. İstanbul'da güneşli ğ ş ı"},
	{"windows-1255", "המפתח נמצא במגירה במטבח"},
	{"windows-1256", "المفتاح في درج المطبخ"},
	{"windows-874", "กุญแจอยู่ในลิ้นชักในครัว"},
	{"windows-1251", "МОСКВА"},
	{"koi8-r", "МОСКВА И ПЕТЕРБУРГ"},
	{"koi8-r", "привет"},
	{"windows-1251", "Договор № 15 от 12.03.2020 г. между ООО «Ромашка» и заказчиком"},
	{"windows-1252", "MÜNCHEN GRÖSSE STRASSE"},
	{"windows-1252", "Größe"},
	{"windows-1252", "It’s John’s"},
	{"windows-1252", "Price: 10 € – cheap"},
	{"windows-1252", "São Paulo não é a capital"},
	{"windows-1252", "Smørrebrød på torsdag, blåbærgrød"},
	{"windows-1252", "Où est la bibliothèque ? Cœur, œuvre, ça"},
	{"windows-1252", "© 2019 Müller GmbH"},
	{"windows-1252", "Température: 21°C ± 2 µm"},
	{"iso-8859-1", "Ærøskøbing été"},
	{"ibm850", "Schlüssel für die Küche"},
	{"macintosh", "Le café est fermé"},
	{"gb18030", "你好"},
	{"gb18030", "联通"},
	{"gb18030", "测试文件"},
	{"gb18030", "The 钥匙 is in the 厨房"},
	{"big5", "你好,世界"},
	{"big5", "會議紀錄"},
	{"shift_jis", "こんにちは"},
	{"shift_jis", "会議録"},
	{"shift_jis", "売上 2024年"},
	{"shift_jis", "ﾃｽﾄ ﾌｧｲﾙ"},
	{"euc-jp", "こんにちは世界"},
	{"euc-kr", "안녕하세요"},
	{"euc-kr", "회의록 2024"},
	{"euc-kr", "펲시콜라 똠방각하"},
	{"windows-1250", "Klíč leží v kuchyni"},
	{"windows-1250", "Dobrý den, děkuji"},
	{"windows-1250", "Klucz leży w kuchni, proszę"},
	{"windows-1250", "A kulcs a konyhában van, őr űr"},
	{"windows-1253", "ΑΘΗΝΑ"},
	{"windows-1253", "Καλημέρα κόσμε"},
	{"windows-1254", "İstanbul'da ışık"},
	{"windows-1257", "Raktas yra virtuvėje, ąžuolas ūkis"},
	{"windows-1255", "שלום"},
	{"windows-1256", "مرحبا بالعالم"},
	{"windows-874", "สวัสดี"},
	{"koi8-u", "Ключ лежить на кухні, її їжа."},
}

func TestGuess(t *testing.T) {
	for _, tc := range shortTexts {
		e, err := ianaindex.IANA.Encoding(tc.enc)
		if err != nil || e == nil {
			t.Fatal(tc.enc, err)
		}
		data, err := e.NewEncoder().Bytes([]byte(tc.text))
		if err != nil {
			t.Fatal(tc.enc, tc.text, err)
		}
		c, _ := guess(data)
		got, err := c.enc.NewDecoder().Bytes(data)
		if err != nil || string(got) != tc.text {
			t.Errorf("%s %q was taken for %s: %q", tc.enc, tc.text, c.name, got)
		}
	}
}
